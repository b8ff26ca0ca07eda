"""Opens every page of the documentation in a headless Chromium, at the width of a phone, a tablet and a desktop.

Usage: portal.py URL CHROMIUM FOLDER. A page must not scroll sideways, its text must have enough contrast with what is
behind it in light and in dark, its console must have no error, and print must show every sample and table. FOLDER gets the
screenshots.
"""

import pathlib
import sys

from playwright.sync_api import sync_playwright

url, chromium, folder = sys.argv[1:]
WIDTHS = [375, 768, 1280]
SCHEMES = ["light", "dark"]

# Waits until the page has followed a change of the colour scheme.
SETTLED = """async () => {
  for (let n = 0; n < 2; n += 1) await new Promise(requestAnimationFrame)
  await Promise.allSettled(document.getAnimations().map((it) => it.finished))
}"""

# Returns the texts whose contrast is below what WCAG 2 asks for (AA), each with its ratio.
CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true })
  const parse = (color) => {
    canvas.clearRect(0, 0, 1, 1)
    canvas.fillStyle = color
    canvas.fillRect(0, 0, 1, 1)
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data
    return [r, g, b, a / 255]
  }
  const over = (top, below) => top.slice(0, 3).map((it, n) => it * top[3] + below[n] * (1 - top[3])).concat(1)
  const luminance = ([r, g, b]) => {
    const linear = [r, g, b].map((it) => (it /= 255) <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4)
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
  }
  const behind = (element) => {
    const layers = []
    for (let it = element; it; it = it.parentElement) layers.unshift(parse(getComputedStyle(it).backgroundColor))
    const dark = matchMedia('(prefers-color-scheme: dark)').matches
    return layers.reduce((below, top) => over(top, below), dark ? [18, 18, 18, 1] : [255, 255, 255, 1])
  }
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  const weak = []
  let count = 0
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement
    const style = getComputedStyle(element)
    const text = texts.currentNode.data.trim().slice(0, 40)
    if (!text || element.closest('title, desc, script, noscript, option, :disabled')) continue
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue
    const background = behind(element)
    const isDrawn = element instanceof SVGElement
    const color = over(parse(isDrawn ? style.fill : style.color), background)
    const [light, dark] = [luminance(color), luminance(background)].sort((a, b) => b - a)
    const ratio = (light + 0.05) / (dark + 0.05)
    const size = parseFloat(style.fontSize)
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700)
    count += 1
    if (ratio < (isLarge ? 3 : 4.5)) {
      weak.push(`${ratio.toFixed(2)} <${element.localName} class="${element.className}"> ${text}`)
    }
  }
  return { count, weak: [...new Set(weak)] }
}"""


def open_page(page, path):
    """Opens a page; in the reference also an operation with a body, and its form."""
    page.goto(url + path)
    if path == "/docs/reference":
        operation = "#operations-orders-create_order"
        page.click(f"{operation} .opblock-summary-control")
        page.wait_for_selector(f"{operation} .execute")


def judge(page, path, width, scheme):
    """Looks at the page that is open, and returns what is wrong with it."""
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    page.evaluate(SETTLED)
    where = f"{path} at {width} px, {scheme}"
    wrong = []
    scrolls, inner = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    if scrolls > inner:
        wrong.append(f"{where}: {scrolls} px wide")
    seen = page.evaluate(CONTRAST)
    if seen["count"] < 20:
        wrong.append(f"{where}: only {seen['count']} texts")
    wrong += [f"{where}: contrast {it}" for it in seen["weak"]]
    name = path.removeprefix("/docs").strip("/") or "index"
    page.screenshot(path=pathlib.Path(folder) / f"{name}-{width}-{scheme}.png", full_page=path != "/docs/reference")
    return wrong


# Counts the samples and tables that are not shown.
HIDDEN = "[...document.querySelectorAll('main pre, main table')].filter((it) => !it.checkVisibility()).length"


def judge_paper(page, path):
    """Prints the page that is open on A4, and returns what is wrong with it."""
    page.emulate_media(media="print", color_scheme="light")
    name = path.removeprefix("/docs").strip("/") or "index"
    page.pdf(path=pathlib.Path(folder) / f"{name}.pdf", prefer_css_page_size=True)
    hidden = page.evaluate(HIDDEN)
    page.emulate_media(media="screen")
    return [f"{path}: {hidden} tables and samples are not printed"] if hidden else []


pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
with sync_playwright() as playwright:
    # Nothing resolves but loopback, as without a network.
    rules = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost"
    browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", rules])
    page = browser.new_page()
    complaints = []
    page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
    page.on("console", lambda it: it.type == "error" and complaints.append(f"{page.url}: {it.text}"))
    page.goto(url + "/docs")
    paths = page.eval_on_selector_all(".menu a", "links => links.map((it) => new URL(it.href).pathname)")
    assert len(paths) > 10, paths
    for path in paths:
        open_page(page, path)
        for width in WIDTHS:
            for scheme in SCHEMES:
                complaints += judge(page, path, width, scheme)
        complaints += judge_paper(page, path)
    browser.close()
if complaints:
    sys.exit("\n".join(complaints))
print(f"the documentation: {len(paths)} pages are readable at {WIDTHS} px, in light, in dark and on paper")
