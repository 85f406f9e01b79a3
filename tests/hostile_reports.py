"""A real report with a stranger's words in every place that holds words."""

from dataclasses import fields, is_dataclass, replace

from lessons_lib import report

PAYLOADS = {
    "script": "<script>window.broken = 1</script>",
    "quotes": '"\'><img src=x onerror="window.broken = 1"><b a=\'',
    "closing": "</title></style></svg></details></table></bdi><iframe src=javascript:1></iframe>",
    "template": "{{ 7 * 7 }}{% raw %}${7*7}&lt;b&gt;&#60;b&#62;",
    "turned": "\u202eesrever\u202c \u2066isolated\u2069 \u200e\u200f\u061c\ufeff",
    "controls": "\x00\x07\x1b[31m\x7f\x85\u2028\ud800",
    "hebrew": "שלום/עולם_1",
    "chinese": "模型層" * 12 + "🙂" * 8,
    "long": "x" * 3000,
    "long words": "a/very/long.name_" * 200,
}
# What is no text: words that the program itself chooses among, an address of a picture.
_KEPT = {"lane", "path", "decision", "level", "image", "calibrate", "sha256"}


def hostile(found: report.Report, payload: str) -> report.Report:
    """The report with ``payload`` in front of every text; names that belong together still do."""

    def spoiled(value, name=""):
        if isinstance(value, str) and (name not in _KEPT):
            return payload + value
        if is_dataclass(value):
            return replace(
                value, **{f.name: spoiled(getattr(value, f.name), f.name) for f in fields(value)}
            )
        if isinstance(value, tuple | list):
            return tuple(spoiled(part, name) for part in value)
        if isinstance(value, dict):
            keep = name == "picks"
            return {k if keep else spoiled(k): spoiled(part) for k, part in value.items()}
        return value

    repair = report.Repair("seen", "cause", "done")
    refused = report.Micro(refusal="it has no such operator")
    rows = (*found.rows, replace(found.rows[-1], name="mended", repair=repair, remarks=("remark",),
                                 micro=refused))  # fmt: skip
    rows += (replace(rows[-1], name="failed", failure="a reason", file=None),)
    data = found.data and replace(found.data, notes=("a note",), split="a split")
    model = replace(found.model, not_counted=("GATHER",))
    found = replace(found, rows=rows, data=data, model=model, next_step="do this")
    if found.layers is None:
        found = replace(found, layers=report.Layers("mended", (), "they do not pair"))
    spoilt = spoiled(found)
    # Flip.path is an answer in words, unlike a row's path.
    if spoilt.flipped:
        samples = tuple(replace(one, path=payload + one.path) for one in spoilt.flipped.samples)
        spoilt = replace(spoilt, flipped=replace(spoilt.flipped, samples=samples))
    return spoilt
