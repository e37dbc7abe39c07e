"""The words that figures allow."""

import pytest

from keras_dynamic.report import frontier


def judge(report, name="gated", **changes):
    report["systems"][name].update(changes)
    return frontier.judge(report, name)


def test_a_dynamic_network_under_both_lines(report):
    # Static line at 45.9 M: 92.4 + 1.1 * 5.3 / 28.4 = 92.605; the cascade frontier is level at 93.55 beyond 34.9 M.
    verdict = judge(report)
    assert verdict.word == "dynamic"
    assert verdict.sentences == (
        "Images take 214 distinct paths; the standard deviation of their MACs is 4.2 M.",
        "Under another image's decisions it loses 4.90 points, so its decisions depend on the image.",
        "It is 1.00 points above its static twin, the same weights under one fixed pattern at equal MACs: "
        "choosing by image pays.",
        "It is 1.51 points under the line through the static networks at 45.9 M MACs: plain networks do better at that "
        "cost.",
        "It is 2.45 points under the cascade frontier at 45.9 M MACs: cascades of plain networks do better at that "
        "cost.",
    )
    assert frontier.headline(report, "gated") == (
        "Gated does not pay: accuracy 91.10 % at 67 % of the MACs and 70 % (float32) and 75 % (int8) of the time of "
        "resnet32, 1.51 points under the static line and 2.45 points under the cascade frontier."
    )


def test_not_above_its_twin_is_merely_pruned(report):
    verdict = judge(report, accuracy_static_twin=0.9121)
    assert verdict.word == "merely pruned"
    assert verdict.sentences[2].startswith("It is 0.11 points under its static twin")
    assert verdict.sentences[2].endswith("it is merely pruned.")
    assert frontier.headline(report, "gated").startswith("Gated does not pay (merely pruned): accuracy 91.10 %")


def test_level_with_its_twin_is_merely_pruned(report):
    verdict = judge(report, accuracy_static_twin=report["systems"]["gated"]["accuracy"])
    assert verdict.word == "merely pruned"
    assert "level with its static twin" in verdict.sentences[2]


def test_as_good_under_another_images_decisions_is_merely_pruned(report):
    verdict = judge(report, accuracy_shuffled=report["systems"]["gated"]["accuracy"])
    assert verdict.word == "merely pruned"
    assert "do not depend on the image" in verdict.sentences[1]
    assert "nothing is chosen by image" in verdict.sentences[2]


def test_one_path_is_merely_pruned(report):
    verdict = judge(report, distinct_paths=1)
    assert verdict.word == "merely pruned"
    assert verdict.sentences[0] == "All images take the same path."


def test_above_every_line(report):
    verdict = judge(report, accuracy=0.95)
    assert verdict.word == "dynamic"
    assert "2.39 points above the line through the static networks" in verdict.sentences[3]
    assert "1.45 points above the cascade frontier" in verdict.sentences[4]
    assert frontier.headline(report, "gated").startswith("Gated pays: ")
    assert frontier.headline(report, "gated").endswith("1.45 points above the cascade frontier.")


@pytest.mark.parametrize(("accuracy", "answer"), [(0.912, "does not pay"), (0.9345, "breaks even"), (0.942, "pays")])
def test_within_the_standard_error_of_the_static_line_it_breaks_even(report, accuracy, answer):
    # The static line is at 92.605 there, the cascade frontier at 93.55; the standard error near 93 % is 1.27 points.
    report["systems"]["gated"]["accuracy"], report["images"] = accuracy, 400
    assert frontier.headline(report, "gated").startswith(f"Gated {answer}: ")


def test_level_with_the_cascade_frontier_and_above_the_static_line_pays(report):
    report["images"] = 10_000
    headline = frontier.headline(report, "cascade")
    assert headline.startswith("Cascade pays: ")
    assert headline.endswith("0.03 points under the cascade frontier (less than the standard error, 0.25 points).")
    report["images"] = 10_000_000
    assert frontier.headline(report, "cascade").startswith("Cascade does not pay: ")


def test_under_its_twin_by_less_than_the_error_is_not_called_pruned(report):
    gated = report["systems"]["gated"]
    gated["accuracy"], report["images"] = 0.942, 400  # above both lines; the standard error is 1.17 points
    gated["accuracy_static_twin"] = 0.944
    assert frontier.headline(report, "gated").startswith("Gated breaks even: ")
    gated["accuracy_static_twin"] = 0.96
    assert frontier.headline(report, "gated").startswith("Gated does not pay (merely pruned): ")


def test_under_its_twin_names_the_twin(report):
    report["systems"]["gated"]["accuracy_static_twin"] = 0.9121
    assert "0.11 points under its static twin" in frontier.headline(report, "gated")


def test_what_is_no_faster_does_not_pay(report):
    system = report["systems"]["gated"]
    system["accuracy"] = 0.95
    system["float32"]["latency_dynamic_ms"] = 3.0
    assert frontier.headline(report, "gated").startswith("Gated pays: ")  # in int8 it is faster
    system["int8"]["latency_dynamic_ms"] = 1.4
    assert frontier.headline(report, "gated").startswith("Gated does not pay (no faster): ")


def test_without_times_and_a_named_reference_the_sentence_is_whole(report):
    system = report["systems"]["gated"]
    del system["float32"], system["int8"], report["static"]["resnet32"]
    assert "at 67 % of the MACs of the static network, " in frontier.headline(report, "gated")


def test_differences_under_the_standard_error_are_called_so(report):
    # sqrt(0.911 * 0.089 / 400) = 0.01424: the static line's 1.51 points are more, the twin's 1.00 are less.
    report["images"] = 400
    assert frontier.standard_error(report, report["systems"]["gated"]) == pytest.approx(0.014237, abs=1e-6)
    verdict = judge(report)
    assert verdict.sentences[2].endswith("choosing by image pays (less than the standard error, 1.42 points).")
    assert verdict.sentences[3].endswith("plain networks do better at that cost.")


def test_lines_that_were_not_measured_are_left_out(report):
    report["static"], report["cascade_frontier"] = {}, []
    assert len(judge(report).sentences) == 3
    assert frontier.margins_of(report, "gated").keys() == {"margin_static_twin"}


def test_stated_margins_win(report):
    report["systems"]["gated"]["margin_cascade"] = 0.002
    assert frontier.margins_of(report, "gated")["margin_cascade"] == 0.002
