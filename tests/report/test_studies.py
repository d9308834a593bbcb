"""Documents hold the studies' tables as they are."""

import json
from pathlib import Path

import pytest

from fdigits.errors import UserError
from fdigits.report import studies
from tests.report.test_study_page import made_up

ROOT = Path(__file__).parents[2]
PLACE = "Before.\n\n<!-- study one -->\n<!-- end of study -->\n\nAfter.\n"


@pytest.fixture
def results(tmp_path) -> Path:
    made_up(tmp_path / "results" / "one")
    (tmp_path / "page.md").write_text(PLACE)
    return tmp_path / "results"


def test_the_documents_here_are_up_to_date():
    documents = [ROOT / "docs" / "results.md", ROOT / "README.md"]
    assert studies.outdated(ROOT / "results", documents) == []


def test_a_documents_place_is_filled_and_kept_up_to_date(results, capsys):
    page = results.parent / "page.md"
    assert studies.outdated(results, [page]) == [results / "one" / "table.md", page]
    with pytest.raises(SystemExit):
        studies.main([str(results), str(page), "--check"])
    assert "not up to date" in capsys.readouterr().err and page.read_text() == PLACE
    studies.main([str(results), str(page)])
    text = page.read_text()
    assert text.startswith("Before.") and text.endswith("<!-- end of study -->\n\nAfter.\n")
    assert "**Made-up digits.** R0 Table 7: 4 systems" in text
    assert "| Pictures | 89.17 [87.17–90.17] |" in text and "- **fails**: Sound beats" in text
    assert "| Pictures | 89.17" in (results / "one" / "table.md").read_text()
    assert studies.outdated(results, [page]) == []
    studies.main([str(results), str(page), "--check"])


def test_a_search_has_a_place_too(results):
    trial = dict(number=0, state="complete", fields={"epochs": 2}, score=0.975, epochs=2)
    trial |= dict(seconds=3.2, run="trials/0000", reason="")
    told = dict(name="grid", monitor="accuracy", direction="maximize", importances={})
    (results / "grid").mkdir()
    (results / "grid/search.json").write_text(json.dumps(told | {"trials": [trial]}))
    page = results.parent / "page.md"
    page.write_text(PLACE + PLACE.replace("one", "grid"))
    studies.main([str(results), str(page)])
    assert "| 0 | 97.50 | 2 | 2 | 3 | done |" in page.read_text()
    assert "trial 0, accuracy 97.50: --config.epochs='2'" in page.read_text()


def test_a_study_without_a_place_and_a_place_without_a_study_are_told(results):
    page = results.parent / "page.md"
    page.write_text("Nothing.\n")
    with pytest.raises(UserError, match="no document shows"):
        studies.outdated(results, [page])
    page.write_text(PLACE + PLACE.replace("one", "onn"))
    with pytest.raises(UserError, match="names the study onn \\(did you mean 'one'"):
        studies.outdated(results, [page])
    page.write_text(PLACE + "<!-- study one -->\n")
    with pytest.raises(UserError, match="has no line"):
        studies.outdated(results, [page])
