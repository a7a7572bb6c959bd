"""The report is one file, shows what the folder holds, and never fails for a campaign half done."""

import base64
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from exploration.decisions import Stage
from flows.cli.app import run_command
from flows.errors import ConfigError
from flows.record.folder import CampaignFolder
from flows.views.report import write_report
from flows.views.summary import measured
from potential.metrics import METRICS

VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """Text by tag, image addresses, and whether every tag is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[str] = []
        self.links: list[str] = []
        self.text: dict[str, list[str]] = {}
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.images += [values["src"]] if tag == "img" else []
        self.links += [values[key] for key in ("href", "src") if key in values]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.text.setdefault(self.open[-1], []).append(data.strip())


@pytest.fixture(scope="module")
def html(reported_campaign: Path) -> str:
    return (reported_campaign / "report.html").read_text()


def test_report_of_a_finished_campaign(html: str, reported_campaign: Path):
    page = Page(html)
    assert page.text["h1"] == ["ethanol"]
    assert page.text["p"][0] == "C2H6O, charge 0, singlet (1 structure); PBE/def2-SVP"
    assert page.text["p"][1].startswith("The force error on the 20 frozen test frames fell from")
    assert page.text["p"][2].startswith("Members agree within 0.1 eV/Å on ")
    cells = page.text["td"]
    assert cells[:2] == ["0", "20"]
    assert "not_converged" in cells
    assert "PBE" in cells
    # structure; learning curve, ledger, cost, map; two parities, uncertainty, reliability and training of 4
    # rounds; MD of 3
    assert len(page.images) == 1 + 4 + 4 * 5 + 3
    at = cells.index("frozen test")
    assert cells[at + 1] == "20"
    assert "over the budget of the round" in cells
    at = cells.index("force error of the worst 1% of the atoms")
    first = CampaignFolder.open(reported_campaign).results()[0].evaluation
    assert cells[at + 1 : at + 3] == ["meV/Å", measured(first, METRICS[1])]
    assert re.fullmatch(r"\d+ ± \d+", cells[at + 2])
    assert "Highlighted: the champion: round 3, the newest: 5 held-out labels are too few" in html
    assert any("Potential.load" in code and "ethanol/potential" in code for code in page.text["code"])


def test_the_file_needs_nothing_else(html: str):
    assert all(link.startswith(("data:image/svg+xml;base64,", "#")) for link in Page(html).links)
    assert "default-src 'none'" in html  # nor would a browser fetch anything
    assert "<script src" not in html
    assert "url(" not in html.partition("<script>")[0]


def test_images_are_whole_drawings(html: str):
    for address in Page(html).images:
        drawing = base64.b64decode(address.partition(",")[2])
        assert ElementTree.fromstring(drawing).tag.endswith("svg")


def test_text_of_others_is_escaped(html: str):
    assert "<b>last</b>" not in html
    assert "&lt;b&gt;last&lt;/b&gt;" in html


def test_frame_ids_stay_text(html: str):
    """`1234e00000000000` is an id, not the number 1234."""
    assert "1234e00000000000" in Page(html).text["code"]


def test_report_of_a_campaign_in_its_first_round(first_round_only: Path):
    page = Page(write_report(CampaignFolder.open(first_round_only)).read_text())
    assert "One round is not a learning curve yet" in page.text["p"][1]
    assert any("written when the campaign is finished" in text for text in page.text["p"])


def test_report_before_the_first_round(first_round_only: Path, capsys: pytest.CaptureFixture[str]):
    for path in (first_round_only / "rounds").rglob("result.json"):
        path.unlink()
    assert run_command(["report", str(first_round_only), "--frequencies"]) == 1
    assert "no potential is published yet" in capsys.readouterr().err
    modes = [{"mode": "0", "wavenumber (1/cm)": "231.4 ± 1.2"}]  # as if they had been there
    page = Page(write_report(CampaignFolder.open(first_round_only), frequencies=modes).read_text())
    assert page.text["p"][1] == "No round is finished yet."
    assert "231.4 ± 1.2" in page.text["td"]
    assert len(page.images) == 2  # the structure, and the map of the initial and test frames


def test_a_round_that_selected_and_labelled_nothing(finished_campaign: Path):
    """pandas writes a table without columns as a lone newline."""
    (finished_campaign / "rounds" / "01" / "select" / "selection.csv").write_text("\n")
    (finished_campaign / "rounds" / "02" / "label" / "outcomes.csv").write_text(
        "frame_id,outcome,seconds,kind\n"
    )
    titles = Page(write_report(CampaignFolder.open(finished_campaign)).read_text()).text["th"]
    assert "round 0" in titles
    assert "round 1" not in titles


def test_unknown_stages_of_the_selection_and_its_warnings_are_shown(finished_campaign: Path):
    """A stage of another version goes by its own name; nothing that was selected vanishes."""
    folders = [finished_campaign / "rounds" / f"{number:02d}" / "select" for number in range(3)]
    table = pd.read_csv(folders[1] / "selection.csv", dtype=str)
    table.loc[:2, "stage"] = "largest_gradient"
    table.to_csv(folders[1] / "selection.csv", index=False)
    (folders[0] / "warnings.txt").write_text("")
    (folders[2] / "warnings.txt").write_text("only 2 <b>candidates\n")
    html = write_report(CampaignFolder.open(finished_campaign)).read_text()
    cells = Page(html).text["td"]
    at = cells.index("largest_gradient")
    assert cells[at - 1 : at + 4] == ["selected", "largest_gradient", "0", "3", "0"]
    known = cells.index(Stage.FARTHEST_POINT.description)
    assert cells[known - 1 : known + 4] == ["selected", Stage.FARTHEST_POINT.description, "8", "5", "8"]
    assert "<strong>Warning, round 2:</strong> only 2 &lt;b&gt;candidates</p>" in html
    assert html.count("Warning, round") == 1


def test_no_campaign(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"no campaign\.yaml"):
        CampaignFolder.open(tmp_path)
