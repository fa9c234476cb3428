"""pawl report in headless Chromium, spoken to through its DevTools pipe: renders, says nothing on the console, asks for nothing, and fits
narrow and wide, light and dark, and on paper. Screenshots stay in PAWL_SHOTS when that is set. Skipped where there is no Chromium."""
import base64, json, os, shutil, subprocess, sys, tempfile

import report_case
from e2e import check, done, folder, run, write_run

CHROMIUM = shutil.which("chromium")


class Browser:
    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix="pawl-chromium-")
        to_read, self.to = os.pipe()
        self.of, to_write = os.pipe()
        flags = "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --disable-extensions --disable-background-networking --disable-component-update " \
                "--disable-sync --disable-default-apps --hide-scrollbars --remote-debugging-pipe"
        self.process = subprocess.Popen(["bash", "-c", f"exec {CHROMIUM} {flags} --user-data-dir={self.profile} about:blank 3<&{to_read} 4>&{to_write} 2>/dev/null"],
                                        pass_fds=(to_read, to_write))
        os.close(to_read)
        os.close(to_write)
        self.left, self.number, self.events = b"", 0, []
        target = [t for t in self.ask("Target.getTargets", whole=True)["targetInfos"] if t["type"] == "page"][0]["targetId"]
        self.session = self.ask("Target.attachToTarget", whole=True, targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"): self.ask(domain + ".enable")

    def message(self):
        while b"\0" not in self.left:
            more = os.read(self.of, 1 << 20)
            if not more: raise RuntimeError("Chromium has ended")
            self.left += more
        one, self.left = self.left.split(b"\0", 1)
        return json.loads(one)

    def ask(self, method, whole=False, **params):
        self.number += 1
        question = dict(id=self.number, method=method, params=params)
        if not whole: question["sessionId"] = self.session
        text = json.dumps(question).encode() + b"\0"
        while text: text = text[os.write(self.to, text):]
        while True:
            m = self.message()
            if m.get("id") == self.number:
                if "error" in m: raise RuntimeError(f"{method}: {m['error']}")
                return m["result"]
            self.events.append(m)

    def js(self, text):
        return self.ask("Runtime.evaluate", expression=text, returnByValue=True)["result"].get("value")

    def open(self, path):
        self.events = []
        self.ask("Page.navigate", url="file://" + path)
        while not any(e.get("method") == "Page.loadEventFired" for e in self.events): self.events.append(self.message())

    def look(self, width, scheme, media=""):
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
        self.ask("Emulation.setEmulatedMedia", media=media, features=[dict(name="prefers-color-scheme", value=scheme)])

    def shot(self, name):
        image = base64.b64decode(self.ask("Page.captureScreenshot", captureBeyondViewport=True)["data"])
        keep(name, image)
        return image

    def close(self):
        try:
            self.ask("Browser.close", whole=True)
        except (RuntimeError, OSError):
            pass
        self.process.wait(20)
        shutil.rmtree(self.profile, True)


def keep(name, data):
    if os.environ.get("PAWL_SHOTS"):
        with open(os.path.join(os.environ["PAWL_SHOTS"], name), "wb") as f: f.write(data)


# Words whose contrast with what is behind them is less than 4.5, as WCAG counts; backgrounds are those of the nearest element that has one.
CONTRAST = """(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = (list) => { canvas.clearRect(0, 0, 1, 1); for (const c of list) { canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); } return canvas.getImageData(0, 0, 1, 1).data; };
  const light = (p) => [0.2126, 0.7152, 0.0722].reduce((s, w, i) => { const v = p[i] / 255; return s + w * (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); }, 0);
  const bad = [];
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some(n => n.nodeType == 3 && n.data.trim()) || e.closest('svg') || !e.checkVisibility()) continue;
    const behind = []; for (let b = e; b; b = b.parentElement) behind.unshift(getComputedStyle(b).backgroundColor);
    const a = light(rgb(behind)), b = light(rgb([...behind, getComputedStyle(e).color])), ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push(e.tagName + '.' + e.className + ' ' + ratio.toFixed(2));
  }
  return bad.slice(0, 5);
})()"""
# Elements that stick out of the page, unless they scroll by themselves.
OUTSIDE = """(() => [...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll, svg, .skip, .plot [aria-hidden]') && e.checkVisibility() && e.getBoundingClientRect().right > innerWidth + 1)
  .map(e => e.tagName + '.' + e.className).slice(0, 5))()"""


def examine(b, name, path):
    b.open(path)
    for width in (360, 1280):
        for scheme in ("light", "dark"):
            b.look(width, scheme)
            image = b.shot(f"{name}-{width}-{scheme}.png")
            check(b.js("document.documentElement.scrollWidth") <= width and b.js(OUTSIDE) == [], f"{name}: fits into {width} pixels {b.js(OUTSIDE)}")
            check(len(image) > 10_000 and b.js(CONTRAST) == [], f"{name}: words can be read, {width} {scheme} {b.js(CONTRAST)}")
    check(b.js("[...document.querySelectorAll('path.line')].every(p => p.closest('.key') || p.getBoundingClientRect().width >= 0)"), f"{name}: lines are drawn")
    check(b.js("document.querySelectorAll('script, img, iframe, object').length") == 0 and b.js("typeof window.alerted") == "undefined", f"{name}: no name has become an element")
    check(b.js("(() => { let n = 0; for (const e of document.querySelectorAll('a[href], summary, .scroll')) { e.focus(); if (document.activeElement === e || !e.checkVisibility()) n++; } return n - document.querySelectorAll('a[href], summary, .scroll').length; })()") == 0,
          f"{name}: links, figures and wide tables are reached by keys")
    tree = b.ask("Accessibility.getFullAXTree")["nodes"]
    images = [n for n in tree if not n.get("ignored") and n["role"]["value"] in ("image", "img", "graphics-document")]
    check(images and all(n.get("name", {}).get("value") and n.get("description", {}).get("value") for n in images), f"{name}: {len(images)} charts have a name and a description for who does not see them")
    b.look(1280, "light", "print")
    pdf = base64.b64decode(b.ask("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"])
    keep(name + ".pdf", pdf)
    check(pdf.startswith(b"%PDF-") and b"/Type /Page" in pdf, f"{name}: prints, {len(pdf)} bytes")
    said = [e for e in b.events if e.get("method") in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Page.javascriptDialogOpening")]
    check(said == [], f"{name}: nothing on the console {said[:2]}")
    asked = [e["params"]["request"]["url"] for e in b.events if e.get("method") == "Network.requestWillBeSent"]
    check([u for u in asked if not u.startswith(("file://" , "data:"))] == [] and sum(u.startswith("file://") for u in asked) == 1, f"{name}: one request, for itself {asked[:3]}")


def main():
    if not CHROMIUM:
        print("SKIPPED report_browser: there is no chromium; launch/setup --browser installs it")
        sys.exit(77)
    where = folder()
    pages = {}
    hostile, stages = report_case.hostile(where), report_case.odd(where)["stages"]
    status, _, _ = run(2, "train", write_run(where, max_steps=8, eval_steps=2, save_steps=4))
    out = os.path.join(where, "out")
    check(status == 0, "a run to look at")
    for name, words in dict(run=[out], hostile=[hostile], stages=[stages], compare=[out, "--compare", hostile]).items():
        pages[name] = os.path.join(where, name + ".html")
        run(0, "report", *words, "-o", pages[name])
    b = Browser()
    try:
        for name, path in pages.items(): examine(b, name, path)
    finally:
        b.close()
    done()


main()
