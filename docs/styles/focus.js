// Blocks that scroll sideways can be reached with the keyboard; the theme wraps tables only when the page has loaded.
function letScrollingBlocksTakeFocus() {
  for (const block of document.querySelectorAll("pre > code, .md-typeset__scrollwrap")) {
    if (block.scrollWidth > block.clientWidth) block.tabIndex = 0;
  }
}
window.addEventListener("load", () => setTimeout(letScrollingBlocksTakeFocus));
window.addEventListener("resize", letScrollingBlocksTakeFocus);
