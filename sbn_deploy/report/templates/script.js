"use strict";
// The page says everything without this: it adds sorting, and texts that follow the pointer.
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  for (const [index, head] of [...table.tHead.rows[0].cells].entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const rising = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const rows = [...body.rows];
      const key = (row) => row.cells[index].dataset.value;
      const numeric = rows.some((row) => key(row) !== undefined);
      rows.sort((a, b) => {
        if (!numeric) {
          const order = a.cells[index].textContent.localeCompare(b.cells[index].textContent);
          return rising ? order : -order;
        }
        const [x, y] = [key(a), key(b)];
        if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
        return rising ? x - y : y - x;
      });
      body.append(...rows);
    });
  }
}

const tip = document.createElement("div");
tip.id = "tip";
tip.hidden = true;
document.body.append(tip);
for (const mark of document.querySelectorAll("svg .mark")) {
  const title = mark.querySelector("title");
  const text = title.textContent;
  title.remove();
  mark.addEventListener("pointermove", (event) => {
    tip.textContent = text;
    tip.hidden = false;
    const left = Math.min(event.pageX + 14, document.documentElement.clientWidth - tip.offsetWidth - 8);
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${event.pageY + 18}px`;
  });
  mark.addEventListener("pointerleave", () => { tip.hidden = true; });
}
