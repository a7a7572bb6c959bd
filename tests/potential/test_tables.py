"""Tables of a campaign, read back as they were written."""

import pandas as pd

from potential.data.tables import read_table

ODD = ["1e5", "007", "nan", "NULL", "True", "1_000", " x ", "inf", "0x10", "", "None", "NA", 'a,"b"']


def test_ids_and_words_are_what_was_written(tmp_path):
    written = pd.DataFrame({"frame_id": ODD, "message": ODD, "step": range(len(ODD)), "x": [0.5] * len(ODD)})
    written.to_csv(tmp_path / "a.csv", index=False)
    read = read_table(tmp_path / "a.csv", needs=("frame_id",))
    assert read["frame_id"].tolist() == read["message"].tolist() == ODD
    assert read["step"].tolist() == list(range(len(ODD)))
    assert read["x"].dtype == float
    assert read_table(tmp_path / "a.csv", as_text=True)["message"].tolist() == ODD
