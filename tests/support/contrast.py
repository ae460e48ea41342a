"""Measures contrast between colours in a browser, as WCAG 2.2 defines it for what is not text (1.4.11)."""

from __future__ import annotations

from playwright.sync_api import Locator

LEAST = 3.0  # of lines and marks against what is beside them

# The colour of a mark, and that of the first part around it that is filled. A canvas turns any notation into sRGB.
MEASURE = """
(part, property) => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const channels = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => {
    const linear = [r, g, b].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const mark = channels(getComputedStyle(part)[property]);
  const ground = (element) => channels(getComputedStyle(element).backgroundColor);
  let around = part.parentElement;
  while (around.parentElement && ground(around)[3] < 255) around = around.parentElement;
  const [low, high] = [mark, ground(around)].map(luminance).sort((a, b) => a - b);
  return [mark[3] === 255, (high + 0.05) / (low + 0.05)];
}
"""


def contrast(mark: Locator, css_property: str) -> float:
    """Return the contrast, from 1 to 21, of each mark's colour with what is around it: the lowest of all.

    Raises AssertionError if there is no mark, or one is transparent.
    """
    found = [each.evaluate(MEASURE, css_property) for each in mark.all()]
    assert found, "there is no such mark"
    assert all(is_opaque for is_opaque, _ in found), "a mark is transparent"
    return float(min(ratio for _, ratio in found))
