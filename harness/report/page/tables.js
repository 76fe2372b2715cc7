// Sorts and filters the tables of a report, and marks those that continue to the right.
"use strict";
(() => {
  // A cell may span columns: it belongs to the first of them; the others have no cell.
  function cellAt(row, column) {
    let begin = 0;
    for (const cell of row.cells) {
      if (begin === column) return cell;
      begin += cell.colSpan;
    }
    return null;
  }
  function sortBy(table, column, button) {
    const heading = button.parentElement;
    const descending = heading.getAttribute("aria-sort") === "ascending";
    table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const key = (row) => {
      const cell = cellAt(row, column);
      if (!cell) return "";
      return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
    };
    const rows = [...table.tBodies[0].rows];
    const empty = (value) => value === "–" || value === "";
    rows.sort((one, other) => {
      const [a, b] = [key(one), key(other)];
      if (empty(a) || empty(b)) return empty(a) - empty(b);
      const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
      return descending ? -order : order;
    });
    table.tBodies[0].append(...rows);
  }
  document.querySelectorAll("table.sortable").forEach((table) => {
    table.querySelectorAll("thead button").forEach((button, column) => {
      button.addEventListener("click", () => sortBy(table, column, button));
    });
  });

  const filter = document.getElementById("ratio-filter");
  if (filter) {
    const table = document.getElementById("ratio-table");
    const apply = () => {
      table.classList.toggle("one-ratio", filter.value !== "");
      [...table.tBodies[0].rows].forEach((row) => {
        row.hidden = filter.value !== "" && row.dataset.group !== filter.value;
      });
    };
    filter.addEventListener("change", apply);
    apply();
  }

  document.querySelectorAll(".wide").forEach((wide) => {
    const scroll = wide.firstElementChild;
    const look = () => wide.classList.toggle("more", scroll.scrollLeft + scroll.clientWidth < scroll.scrollWidth - 1);
    const observer = new ResizeObserver(look);
    [scroll, scroll.firstElementChild].forEach((element) => observer.observe(element));
    scroll.addEventListener("scroll", look, { passive: true });
  });
})();
