"""Tables as spreadsheets and other tools write them: the same records come back, or the key that settles them is named."""

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from laws import each

from aevlp.pipeline.datasets.delimited_text import TableForm
from aevlp.pipeline.datasets.faults import DataError, refuse
from aevlp.pipeline.datasets.table_files import open_table
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.manifest.formats import TableSpec
from aevlp.pipeline.manifest.load import load_manifest

PLAIN = "image,labels\na.jpg,cat\nb.jpg,dog\n"
RECORDS = [{"image": "a.jpg", "labels": "cat"}, {"image": "b.jpg", "labels": "dog"}]
MANY = [HealthCheck.function_scoped_fixture]


def read(path: Path, content: str | bytes, **form: Any) -> list[dict[str, Any]]:
    """Return the records of a table of this content."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [record for _, record in open_table(path, "image", TableForm(**form)).records(refuse)]


def remarks(path: Path, content: str | bytes, **form: Any) -> list[str]:
    """Return what is said of a table that is read, which has the records of `PLAIN`."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    table = open_table(path, "image", TableForm(**form))
    assert [record for _, record in table.records(refuse)] == RECORDS
    assert {remark.kind for remark in table.remarks} <= {"read differently"}
    return [remark.text for remark in table.remarks]


def refusal(path: Path, content: str | bytes, **form: Any) -> str:
    """Return the one line that refuses a table."""
    with pytest.raises(AevlpError) as caught:
        read(path, content, **form)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


@each(ending=["csv", "tsv", "txt", "tab"], delimiter=[",", ";", "\t", "|"])
def test_the_header_shows_the_delimiter(tmp_path: Path, delimiter: str, ending: str) -> None:
    assert read(tmp_path / f"t.{ending}", PLAIN.replace(",", delimiter)) == RECORDS


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("image, labels\na.jpg,  cat\nb.jpg ,dog \n", id="blanks"),
        pytest.param('image, "labels"\n"a.jpg", "cat"\nb.jpg,dog', id="quotes after a blank"),
        pytest.param("image,labels,\na.jpg,cat,\nb.jpg,dog,\n", id="a trailing comma"),
        pytest.param("image,labels,,\na.jpg,cat\nb.jpg,dog,\n", id="trailing commas here and there"),
        pytest.param("image,labels\na.jpg,cat,\nb.jpg,dog,,,\n", id="trailing commas in the rows alone"),
        pytest.param("\n\nimage,labels\n\na.jpg,cat\n ,\n,,,\nb.jpg,dog\n\n", id="blank lines"),
        pytest.param(",image,labels\n0,a.jpg,cat\n1,b.jpg,dog\n", id="row numbers"),
        pytest.param("sep=;\nimage;labels\na.jpg;cat\nb.jpg;dog\n", id="a line that states the delimiter"),
        pytest.param("sep=\t\r\nimage\tlabels\r\na.jpg\tcat\r\nb.jpg\tdog\r\n", id="which may be a tab"),
        pytest.param(PLAIN.replace("\n", "\r\n"), id="CRLF"),
        pytest.param(PLAIN.replace("\n", "\r"), id="CR"),
        pytest.param(PLAIN.replace("\n", "\r\r\n"), id="CR CRLF, as text mode twice over writes"),
        pytest.param("\ufeff" + PLAIN, id="UTF-8 with its mark"),
        pytest.param(PLAIN.encode("utf-16"), id="UTF-16"),
        pytest.param(b"\xfe\xff" + PLAIN.encode("utf-16-be"), id="UTF-16 the other way round"),
        pytest.param(PLAIN.replace(",", "\t").encode("utf-16"), id="Unicode text of a spreadsheet"),
        pytest.param(PLAIN.encode("utf-32"), id="UTF-32"),
    ],
)
def test_what_spreadsheets_write_reads_as_the_plain_table(tmp_path: Path, content: str | bytes) -> None:
    assert remarks(tmp_path / "t.csv", content) == []


def test_a_record_is_named_by_the_line_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('sep=,\n\nimage,labels\n\na.jpg,"cat\ndog"\nb.jpg,x\n')
    assert [where for where, _ in open_table(path, "image").records(refuse)] == ["line 6", "line 7"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("image,labels\na.jpg,cat\nimage,labels\nb.jpg,dog\n", 3),
        ("image,labels\nimage,labels\na.jpg,cat\nb.jpg,dog\n", 2),
        ("image,labels\na.jpg,cat\nimage, labels \nb.jpg,dog\n", 3),
        ('\ufeffimage,labels\na.jpg,cat\n\ufeff"image","labels"\nb.jpg,dog\n', 3),  # two files with marks, joined
    ],
)
def test_a_header_that_stands_again_is_no_image(tmp_path: Path, content: str, line: int) -> None:
    (said,) = remarks(tmp_path / "t.csv", content)
    assert f"the header stands once more, first in line {line}" in said


def test_a_second_header_in_another_order_is_refused(tmp_path: Path) -> None:
    """Otherwise all that follows it would be read the wrong way round."""
    found = refusal(tmp_path / "t.csv", "image,labels\na.jpg,cat\nlabels,image\ndog,b.jpg\n")
    assert "line 3: the header stands here again with its columns in another order" in found


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("a.jpg,cat\nb.jpg,dog\n", "image, labels"),
        ("cat;a.PNG\ndog;b.PNG\n", "labels, image"),
        ("x/a.jpeg\tcat\t1\n", "image, column2, column3"),
        ("\n\na.webp,cat\n", "image, labels"),
        ("7,a.jpg,cat\n", "column1, image, column3"),
    ],
)
def test_a_missing_header_is_named_with_the_key_that_states_it(tmp_path: Path, content: str, columns: str) -> None:
    found = refusal(tmp_path / "t.csv", content)
    assert "expected a header, found what looks like an image's row" in found
    assert f"`columns: [{columns}]`" in found


def test_a_missing_header_of_ids_is_an_unknown_column_that_says_the_key_too(tmp_path: Path) -> None:
    found = refusal(tmp_path / "t.csv", "train_0,haze\ntrain_1,clear\n")
    assert "unknown column 'image': known are " in found
    assert (
        "where the file has no header, write a name for each of its 2 columns, such as `columns: [image, labels]`"
        in found
    )


@pytest.mark.parametrize(
    ("above", "line"),
    [("Labels of 2024\n", 2), ("Labels;;\n;;\n", 3), ("# made by hand, in May\n\n# by two of us\n", 4)],
)
def test_a_header_below_a_title_is_named_with_its_line(tmp_path: Path, above: str, line: int) -> None:
    for delimiter in ",;\t":
        found = refusal(tmp_path / "t.csv", above + PLAIN.replace(",", delimiter))
        assert f"the header stands in line {line}, below something else: delete the lines before it" in found


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_stated_header_reads_all_rows(tmp_path: Path, delimiter: str) -> None:
    content = "a.jpg,cat\nb.jpg,dog\n".replace(",", delimiter)
    assert read(tmp_path / "t.csv", content, columns=("image", "labels")) == RECORDS
    turned = [{"labels": "a.jpg", "image": "cat"}, {"labels": "b.jpg", "image": "dog"}]
    assert read(tmp_path / "t.csv", content, columns=("labels", "image")) == turned


def test_a_stated_header_that_is_there_too_is_no_row(tmp_path: Path) -> None:
    assert remarks(tmp_path / "t.csv", PLAIN, columns=("image", "labels")) == []


@pytest.mark.parametrize("header", ["file,tags", "id;kind", "name|what"])
def test_a_stated_header_over_another_one_is_refused(tmp_path: Path, header: str) -> None:
    """Otherwise there would be a class named "tags"."""
    content = PLAIN.replace("image,labels", header).replace(",", header.strip("abcdefghijklmnopqrstuvwxyz"))
    found = refusal(tmp_path / "t.csv", content, columns=("image", "labels"))
    assert "looks like a header, and the manifest states another as `columns`: leave that out" in found


def test_two_delimiters_that_both_fit_are_never_guessed_between(tmp_path: Path) -> None:
    content = "a.jpg,cat;dog\nb.jpg,dog;cat\n"
    columns = ("image", "labels")
    found = refusal(tmp_path / "t.csv", content, columns=columns)
    assert "both a comma and a semicolon could stand between its cells" in found
    assert "`delimiter: ','`" in found
    read_as = read(tmp_path / "t.csv", content, columns=columns, delimiter=",")
    assert read_as == [{"image": "a.jpg", "labels": "cat;dog"}, {"image": "b.jpg", "labels": "dog;cat"}]
    with_one_more = content + "c.jpg,cat\n"  # by which only the comma fits
    assert read(tmp_path / "t.csv", with_one_more, columns=columns)[2] == {"image": "c.jpg", "labels": "cat"}


@pytest.mark.parametrize("columns", [("image", "labels", "split"), ("image", "a", "b", "c")])
def test_rows_that_do_not_fit_the_stated_columns_name_the_keys(tmp_path: Path, columns: tuple[str, ...]) -> None:
    found = refusal(tmp_path / "t.csv", "a.jpg,cat\nb.jpg,dog\n", columns=columns)
    assert f"do not have the {len(columns)} cells of `columns`" in found
    assert "`delimiter`" in found


@pytest.mark.parametrize("delimiter", [" ", "~", "^", ":"])
def test_another_delimiter_is_the_manifests_to_say(tmp_path: Path, delimiter: str) -> None:
    content = PLAIN.replace(",", delimiter)
    assert "name what stands between the cells as `delimiter`" in refusal(tmp_path / "t.csv", content)
    assert read(tmp_path / "t.csv", content, delimiter=delimiter) == RECORDS


def test_two_places_that_state_another_delimiter_are_refused(tmp_path: Path) -> None:
    found = refusal(tmp_path / "t.csv", "sep=;\n" + PLAIN, delimiter=",")
    assert "its first line says sep=;" in found


@pytest.mark.parametrize(
    ("name", "codec"), [("café", "latin-1"), ("œuf", "cp1252"), ("ёж", "cp1251"), ("猫猫", "shift_jis")]
)
def test_what_is_no_utf8_names_the_line_and_the_key(tmp_path: Path, name: str, codec: str) -> None:
    content = f"image,labels\na.jpg,cat\nb.jpg,{name}\n".encode(codec)
    found = refusal(tmp_path / "t.csv", content)
    assert "line 3: not UTF-8 text" in found
    assert "`encoding: latin-1`" in found
    assert read(tmp_path / "t.csv", content, encoding=codec)[1] == {"image": "b.jpg", "labels": name}
    assert "line 3: not UTF-8 text" in refusal(tmp_path / "t.csv", content.replace(b"\n", b"\r"))
    line = json.dumps({"image": "b.jpg", "labels": name}, ensure_ascii=False)
    assert "line 1: not UTF-8 text" in refusal(tmp_path / "t.jsonl", line.encode(codec))
    assert read(tmp_path / "t.jsonl", line.encode(codec), encoding=codec) == [{"image": "b.jpg", "labels": name}]


def test_utf8_read_by_another_codec_as_told_is_said(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("image,labels\na.jpg,café\n".encode())
    table = open_table(path, "image", TableForm(encoding="latin-1"))
    assert [record["labels"] for _, record in table.records(refuse)] == ["cafÃ©"]
    assert [remark.text for remark in table.remarks] == [
        f"{path}: read as latin-1, as the manifest says; it is UTF-8 text too, if `encoding` is left out"
    ]
    assert remarks(path, PLAIN, encoding="latin-1") == []


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_names_the_key(tmp_path: Path, codec: str) -> None:
    assert f"`encoding: {codec}`" in refusal(tmp_path / "t.csv", PLAIN.encode(codec))
    assert read(tmp_path / "t.csv", PLAIN.encode(codec), encoding=codec) == RECORDS


def test_a_mark_of_another_encoding_than_stated_is_refused(tmp_path: Path) -> None:
    found = refusal(tmp_path / "t.csv", "\ufeff" + PLAIN, encoding="latin-1")
    assert "begins with the mark of utf-8, and the manifest says `encoding: latin-1`" in found
    assert read(tmp_path / "t.csv", "\ufeff" + PLAIN, encoding="utf-8") == RECORDS


@pytest.mark.parametrize(
    "header", ["image,labels,labels", "image, labels,labels ", "image,image,labels", "x,image,labels,y,x"]
)
def test_a_column_that_stands_twice_is_refused(tmp_path: Path, header: str) -> None:
    """The last would be taken in silence."""
    row = ",".join("abcdef"[: header.count(",") + 1])
    assert "the header names a column twice" in refusal(tmp_path / "t.csv", f"{header}\n{row}\n")


def test_a_key_or_column_that_stands_twice_in_other_files_is_refused(tmp_path: Path) -> None:
    found = refusal(tmp_path / "t.jsonl", '{"image": "a", "labels": "cat", "labels": "dog"}\n')
    assert "line 1: not valid JSON: the key 'labels' stands twice" in found
    arrays = [pa.array(["a.jpg"]), pa.array(["cat"]), pa.array(["dog"])]
    pq.write_table(pa.table(arrays, names=["image", "labels", "labels"]), tmp_path / "t.parquet")
    with pytest.raises(AevlpError, match="columns that stand twice: 'labels'"):
        open_table(tmp_path / "t.parquet", "image")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a.jpg,cat,train,dog", "4 in 'a.jpg,cat,train,dog': write 3, with quotes around a cell that holds a comma"),
        ("a.jpg,cat", "2 in 'a.jpg,cat': write 3"),
        ("a.jpg", "1 in 'a.jpg': write 3"),
    ],
)
def test_a_row_of_another_length_is_reported_and_the_rest_read(tmp_path: Path, row: str, said: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"image,labels,split\n{row}\nb.jpg,dog,train\n")
    faults: list[DataError] = []
    records = [record for _, record in open_table(path, "image").records(faults.append)]
    assert records == [{"image": "b.jpg", "labels": "dog", "split": "train"}]
    assert [(fault.kind, str(fault)) for fault in faults] == [
        ("bad row", f"{path}, line 2: expected 3 fields as in the header, with a comma between them, found {said}")
    ]


def test_a_row_of_another_separator_is_told_by_it(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("image;labels;split\na.jpg;cat;train\nb.jpg,dog,train\n")
    faults: list[DataError] = []
    assert len(list(open_table(path, "image").records(faults.append))) == 1
    assert f"{path}, line 3: expected 3 fields as in the header, with a semicolon between them" in str(faults[0])
    assert "found 'b.jpg,dog,train', which has 3 with a comma: write the row with a semicolon" in str(faults[0])


def test_a_label_below_no_name_is_not_dropped(tmp_path: Path) -> None:
    found = refusal(tmp_path / "t.csv", "image,labels,\na.jpg,cat,dog\n")
    assert "line 2: column 3 holds 'dog', and the header has no name for it" in found


@pytest.mark.parametrize("form", [{"delimiter": ";"}, {"columns": ("image",)}])
@pytest.mark.parametrize("name", ["t.jsonl", "t.parquet"])
def test_keys_of_csv_files_are_refused_of_others(tmp_path: Path, name: str, form: dict[str, Any]) -> None:
    assert f"`{next(iter(form))}` says how a CSV file is written" in refusal(tmp_path / name, "{}", **form)


def test_an_encoding_is_refused_of_a_parquet_file(tmp_path: Path) -> None:
    assert "`encoding` says how text is written" in refusal(tmp_path / "t.parquet", b"", encoding="utf-8")


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("delimiter: ';;'", "delimiter: expected the one character between cells"),
        ("delimiter: '\"'", "delimiter: expected the one character between cells"),
        ("delimiter: ''", "delimiter: expected the one character between cells"),
        ("encoding: latin-99", "encoding: expected a text encoding such as utf-8"),
        ("encoding: base64", "encoding: expected a text encoding such as utf-8"),
        ("columns: [image, image]", "columns: expected a name for each column of the table, each once"),
        ("columns: [image, '']", "columns: expected a name for each column of the table, each once"),
        ("columns: []", "columns: Value should have at least 1 item"),
    ],
)
def test_a_key_of_another_form_is_one_clear_line(tmp_path: Path, key: str, expected: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"datasets:\n  photos:\n    title: P\n    format: table\n    table: t.csv\n    {key}\n")
    with pytest.raises(AevlpError, match="1 mistake") as caught:
        load_manifest(path)
    assert expected in str(caught.value)


@pytest.mark.parametrize("written", ["tab", "'\\t'", '"\\t"'])
def test_a_tab_may_be_written_in_words(tmp_path: Path, written: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"datasets:\n  photos:\n    title: P\n    format: table\n    table: t\n    delimiter: {written}\n")
    spec = load_manifest(path)["photos"]
    assert isinstance(spec, TableSpec)
    assert spec.delimiter == "\t"


SPECIAL = ',;\t|"\r\n'
CELLS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]) | st.sampled_from(",;\t|\"'\n "), max_size=6
)


@st.composite
def written_tables(draw: st.DrawFn) -> tuple[list[dict[str, str]], bytes]:
    """Return the records of a table, and its bytes as some program may write them."""
    names = draw(st.permutations(["image", "labels", *draw(st.sampled_from([[], ["split"], ["a b", "é"]]))]))
    rows = draw(st.lists(st.lists(CELLS.map(str.strip), min_size=len(names), max_size=len(names)), max_size=5))
    rows = [row for row in rows if any(row) and sorted(row) != sorted(names)]
    delimiter = draw(st.sampled_from(",;\t|"))
    text = io.StringIO()
    blank = draw(st.sampled_from(["", " "])) if delimiter != "\t" else ""
    quoted = draw(st.booleans())
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    trailing = draw(st.booleans())
    if draw(st.booleans()):
        text.write(f"sep={delimiter}{end}")
    for row in [names, *rows]:
        cells = ['"' + cell.replace('"', '""') + '"' if quoted or set(cell) & set(SPECIAL) else cell for cell in row]
        text.write((delimiter + blank).join(cells) + delimiter * trailing + end)
        if draw(st.booleans()):
            text.write(end)
    encoded = text.getvalue().encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"])))
    return [dict(zip(names, row, strict=True)) for row in rows], encoded


@settings(max_examples=120, deadline=None, suppress_health_check=MANY)
@given(written_tables())
def test_a_table_written_by_any_program_reads_back_as_its_records(
    tmp_path: Path, written: tuple[list[dict[str, str]], bytes]
) -> None:
    records, content = written
    assert read(tmp_path / "t.csv", content) == records


UNQUOTED = st.text("ab.jpg,;\t| ", min_size=1, max_size=8).filter(str.strip)


def test_a_table_without_a_header_is_read_as_it_was_written_or_refused(tmp_path: Path) -> None:
    """Unquoted cells, in which other delimiters stand: never is another one taken than the one that the rows have."""
    seen: Counter[str] = Counter()

    @settings(max_examples=120, deadline=None, derandomize=True, database=None)
    @given(st.lists(st.lists(UNQUOTED, min_size=2, max_size=2), min_size=1), st.sampled_from(",;\t|"))
    def holds(rows: list[list[str]], delimiter: str) -> None:
        rows = [[cell.strip().replace(delimiter, "_") for cell in row] for row in rows]
        content = "".join(f"{delimiter.join(row)}\n" for row in rows)
        try:
            found = read(tmp_path / "t.csv", content, columns=("image", "labels"))
        except AevlpError as error:
            assert "\n" not in str(error) and ("`delimiter" in str(error) or "`columns`" in str(error))
            seen["refused"] += 1
        else:
            assert found == [dict(zip(("image", "labels"), row, strict=True)) for row in rows]
            seen["read"] += 1

    holds()
    assert seen["read"] >= 60, seen


@settings(max_examples=100, deadline=None, suppress_health_check=MANY)
@given(
    st.text("éüßñ猫ёabc", min_size=1, max_size=8),
    st.sampled_from(["latin-1", "cp1252", "cp1251", "gb18030", "shift_jis"]),
)
def test_another_encoding_is_never_guessed(tmp_path: Path, name: str, codec: str) -> None:
    assume(name.encode(codec, "ignore").decode(codec) == name)  # the encoding has all of its characters
    content = f"image,labels\na.jpg,{name}\n".encode(codec)
    try:
        found = read(tmp_path / "t.csv", content)
    except AevlpError as error:
        assert "`encoding: " in str(error)
    else:  # bytes that are UTF-8 text, as all of ASCII are
        assert found == [{"image": "a.jpg", "labels": content.decode().splitlines()[1].partition(",")[2]}]
    assert read(tmp_path / "t.csv", content, encoding=codec) == [{"image": "a.jpg", "labels": name}]
