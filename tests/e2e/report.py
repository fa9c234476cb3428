"""pawl report without a browser: its page is well-formed, holds what the run's records hold, and nothing that a name smuggled in."""
import os, re
import xml.etree.ElementTree as ET

import report_case
from e2e import PAGES, check, done, folder, metrics, run, write_run

ALLOWED = set("html head meta title style link body a header p h1 bdi nav ul li main section h2 h3 dl div dt dd span figure figcaption svg path desc rect details "
              "summary table caption thead tbody tr th td code ol pre footer strong".split())


def page(*words, at):
    status, out, err = run(0, "report", *words, "-o", at)
    check(status == 0 and out.strip() == at, f"pawl report {' '.join(words)[-60:]!r} ends with 0 and says where the page is {err.strip()}")
    with open(at, encoding="utf-8") as f:
        return f.read()


def offences(text):
    """What a page may not have, as sentences."""
    found, seen, refs = [], set(), []
    root = ET.fromstring(re.sub(r"^<!DOCTYPE html>\n", "", text))
    for e in root.iter():
        if e.tag not in ALLOWED: found.append(f"element {e.tag}")
        for k, v in e.attrib.items():
            if k.startswith("on") or k in ("src", "action", "formaction"): found.append(f"attribute {k} of {e.tag}")
            if k == "href" and not (v.startswith("#") or v == "data:,"): found.append(f"link to {v}")
            if k == "href" and v.startswith("#"): refs.append(v[1:])
            if k in ("aria-labelledby", "aria-describedby"): refs += v.split()
            if k == "id": found += [f"id {v} twice"] if v in seen else []; seen.add(v)
    found += [f"no id {r}" for r in refs if r not in seen]
    for e in root.iter("svg"):
        if e.get("role") == "img" and (not e.findtext("title") or not e.findtext("desc")): found.append("a chart without words")
    for e in root.iter("figure"):
        if e.find("p") is None and e.find("details//table") is None: found.append("a chart without figures")
    if re.search("[\u202a-\u202e\u2066-\u2069\u200b\ufeff\x00-\x08\x0b-\x1f\x7f-\x9f]", text): found.append("hidden characters")
    if re.search(r"\b(nan|inf)\b", "".join(v for e in root.iter() for k, v in e.attrib.items() if k in ("d", "style"))): found.append("coordinates that are no numbers")
    return found


def words(text):
    return "".join(ET.fromstring(re.sub(r"^<!DOCTYPE html>\n", "", text)).itertext())


def real_run(where):
    datasets = [dict(path=PAGES, domain="'<i>docs</i>'", license="'\"><b>'"),
                dict(path=os.path.join(os.environ["PAWL_SOURCE"], "LICENSE"), domain="law", license="Apache-2.0", type="text")]
    out = os.path.join(where, "out")
    yaml = write_run(where, datasets=datasets, max_steps=6, eval_steps=3, save_steps=3)
    status, _, err = run(2, "train", yaml)
    check(status == 0 and "report" not in err, f"a run ends with 0 {err.strip()[-200:]}")
    with open(os.path.join(out, "report.html"), encoding="utf-8") as f: text = f.read()
    check(offences(text) == [], f"the page at its end is in order {offences(text)}")
    said = words(text)
    last = [m for m in metrics(out) if "eval" in m][-1]["eval"]
    check(all(f"{v:.3f}" in said and k in said for k, v in last.items()), "the retention matrix has the last evaluation's losses")
    check("finished" in said and "Apache-2.0" in said and '"><b>' in said and "step-000000006" in said and "global_batch_size" in said and "sequence_len" in said,
          "state, licences, checkpoints and settings that differ are there")
    check("logging_steps" in said and "adam_beta1" not in said, "settings at their defaults are not")
    os.remove(os.path.join(out, "report.html"))
    os.mkdir(os.path.join(out, "report.html"))
    status, stdout, err = run(2, "train", yaml)
    check(status == 0 and "no report was written" in err and stdout.strip().splitlines()[-1].startswith("weights_sha256 "), "a report that cannot be written is a warning, and the last line stays")
    both = page(out, "--compare", report_case.hostile(where), at=os.path.join(where, "both.html"))
    check(offences(both) == [] and both.count('class="side"') > 20, f"two runs lie beside each other {offences(both)}")


def staged_run(where):
    yaml = write_run(where, "staged.yaml", output=os.path.join(where, "staged"), max_steps=None, val_set_size=0.2)
    with open(yaml) as f: text = f.read()
    text = text[:text.index("datasets:\n")] + f"""replay: {{ratio: auto, capacity: 20}}
general_data: [{{path: {PAGES}/decisions, domain: "<em>known</em>"}}]
stages:
  - {{name: "one </td>", max_steps: 4, datasets: [{{path: {PAGES}, domain: docs, license: Apache-2.0}}]}}
  - {{name: two, max_steps: 4, datasets: [{{path: {PAGES}, domain: again, license: Apache-2.0}}]}}
"""
    with open(yaml, "w") as f: f.write(text)
    status, _, err = run(3, "train", yaml)
    check(status == 0, f"a run of two stages ends with 0 {err.strip()[-300:] if status else ''}")
    with open(os.path.join(where, "staged", "report.html"), encoding="utf-8") as f: page_text = f.read()
    said = words(page_text)
    check(offences(page_text) == [] and all(w in said for w in ("one </td>", "Forgetting, worst", "Forgetting over time", "20 rows of", "<em>known</em>")),
          f"its page has the stages, what was forgotten, and the memory {offences(page_text)}")
    check("Steps in the record8 of 8 planned" in said and any("probe" in m for m in metrics(os.path.join(where, "staged"))), "probes are not taken for steps")
    with open(yaml, "w") as f: f.write(text.replace("capacity: 20", "capacity: 20, domains: {dosc: {capacity: 3}}").replace("/staged\n", "/typo\n"))
    status, _, err = run(2, "train", yaml)
    check(status == 10 and "'dosc'" in err and "'docs'" in err, f"replay.domains with a domain that there is not is refused by name: {err.strip()[-200:]}")


def main():
    where = folder()
    at = os.path.join(where, "page.html")
    for name, run_dir in dict(report_case.odd(where), hostile=report_case.hostile(where)).items():
        text = page(run_dir, at=at)
        check(offences(text) == [], f"{name}: the page is in order {offences(text)[:5]}")
        if name == "hostile":
            check(all(n in words(text) for n in report_case.HOSTILE[:3]) and "a<U+202E>gnp.exe" in words(text), "names stand as text, and what is hidden is shown")
        if name == "gate": check("ended by its forgetting budget" in words(text) and "mean +0.1250 of 0.1000 allowed, worst +0.5000 (<b>x</b>)" in words(text), "what the gate said")
        if name == "torn": check("3 lines of metrics.jsonl" in words(text) or "lines of metrics.jsonl" in words(text), "lines that are no records are counted")
    text = page(report_case.huge(where), at=at)
    lines = [e.get("d") for e in ET.fromstring(re.sub(r"^<!DOCTYPE html>\n", "", text)).iter("path") if (e.get("class") or "").startswith("line")]
    check(offences(text) == [] and len(text) < 400_000 and "77.25" in words(text) and "-55.5" in words(text), f"60,000 steps make a page of {len(text)} bytes that has the greatest and the least")
    heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", lines[0])]
    check(min(heights) < 60 and max(heights) > 940 and len(heights) < 2000, "the thinned line reaches both, too")
    real_run(where)
    staged_run(where)
    for words_, sentence in ([os.path.join(where, "none")], "there is no run here"), ([where], "there is no run here"), ([], "RUN_DIR"):
        status, _, err = run(0, "report", *words_)
        check(status == 10 and sentence in err, f"pawl report {words_} is an error of usage: {err.strip()[-120:]}")
    status, _, err = run(0, "report", os.path.join(where, "out"), "-o", os.path.join(where, "no", "folder.html"))
    check(status == 40 and "folder.html" in err, "a page that cannot be written is an error of the file system")
    done()


main()
