from keras_dynamic.lite import flatbuffer, list_operators, operator_table


def test_rows_say_what_there_is(example):
    model = example("units", True).outlined
    rows = list_operators(model)
    parsed = flatbuffer.load(model)
    assert len(rows) == sum(len(graph.operators) for graph in parsed.subgraphs)
    first = rows[0]
    assert (first.subgraph, first.index, first.name) == ("main", 0, "CONV_2D")
    assert first.inputs == ("int8[1,8,8,3]", "const int8[8,3,3,3]", "const int32[8]")
    assert first.outputs == ("int8[1,8,8,8]",)
    assert first.branches == ()
    assert [row.branches for row in rows if row.name == "IF"][1] == ("decision_1_then", "decision_1_else")


def test_table_has_a_line_for_each(example):
    model = example("exits", False).outlined
    lines = operator_table(model).splitlines()
    parsed = flatbuffer.load(model)
    assert len(lines) == len(list_operators(model)) + len(parsed.subgraphs)
    assert lines[0] == "main: float32[1,8,8,3] -> bool[3], float32[1,5], int32[1]"
    assert any(line.endswith("decision_1_then | decision_1_else") for line in lines)
    assert any("CONV_2D" in line and line.startswith("    0 ") for line in lines)


def test_left_out_inputs_are_dashes(example):
    rows = list_operators(example("exits", False).outlined)
    assert any(row.name == "FULLY_CONNECTED" and row.inputs[2] == "-" for row in rows)
