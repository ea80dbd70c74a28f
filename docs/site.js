// What the theme leaves out for readers without sight or mouse: a name for the search, and code that keys can scroll.
document.querySelector(".md-search")?.setAttribute("aria-label", "Search")
for (const code of document.querySelectorAll("pre > code")) {
  // The theme takes it away again from code that it finds to fit.
  const reachable = () => code.scrollWidth > code.clientWidth && code.tabIndex < 0 && (code.tabIndex = 0)
  new MutationObserver(reachable).observe(code, { attributes: true, attributeFilter: ["tabindex"] })
  new ResizeObserver(reachable).observe(code)
}
