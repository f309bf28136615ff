// What every part of the page uses: elements, the theme, copying.

const $ = (id) => document.getElementById(id);

// An element; text from data only ever becomes a text node or an attribute.
function el(tag, marks = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(marks)) {
    if (name === "onclick") node.addEventListener("click", value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const words = (name) => name.replaceAll("_", " ");

function setTheme(theme) { document.documentElement.dataset.theme = theme; }

function bindTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  setTheme(dark.matches ? "dark" : "light");
  dark.addEventListener("change", () => setTheme(dark.matches ? "dark" : "light"));
  $("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
}

// Pages opened as files may be refused the clipboard; then the text is selected for the reader's own keys.
function bindCopy() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      const source = $(button.dataset.copy);
      getSelection().selectAllChildren(source);
      let done = false;
      try { await navigator.clipboard.writeText(source.textContent); done = true; } catch { done = document.execCommand("copy"); }
      button.textContent = done ? "copied" : "selected";
      setTimeout(() => { button.textContent = "copy"; }, 2000);
    });
  }
}
