import pytest

from keras_dynamic.lite.branching import branch_name, decision_of_branch, decision_of_tensor, decision_scope


@pytest.mark.parametrize("index", [0, 7, 12])
@pytest.mark.parametrize("side", ["then", "else"])
@pytest.mark.parametrize("ordinal", [1, 2, 11])
def test_branch_names_read_back(index, side, ordinal):
    assert decision_of_branch(branch_name(index, side, ordinal)) == index


def test_first_branch_has_no_number():
    assert branch_name(3, "then") == "decision_3_then"
    assert branch_name(3, "else", 2) == "decision_3_else_2"


@pytest.mark.parametrize("name", ["main", "decision_3", "my_decision_3_then", "decision_x_then", "decision_1_then_x"])
def test_other_subgraphs_are_no_branches(name):
    assert decision_of_branch(name) is None


def test_scopes_are_found_and_the_results_own_name_counts():
    assert decision_of_tensor(f"model/{decision_scope(4)}/Greater") == 4
    assert decision_of_tensor("chain/kd_decision_12/Greater;chain/kd_decision_1/constant;y") == 12
    assert decision_of_tensor("unit/Relu;kd_decision_3/Greater") == 3
    assert decision_of_tensor("decision_1/Mean") is None
