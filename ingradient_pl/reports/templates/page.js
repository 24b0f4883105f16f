(function () {
  "use strict";
  // Charts in view are drawn at once, the others when there is time
  function draw(node) {
    var source = node.querySelector("script");
    if (!source) { return; }
    var figure = JSON.parse(source.textContent);
    node.textContent = "";
    Plotly.newPlot(node, figure.data, figure.layout, {responsive: true, displaylogo: false, displayModeBar: false});
  }
  var charts = Array.from(document.querySelectorAll(".chart"));
  function drawNext() {
    var node = charts.shift();
    if (node) { draw(node); setTimeout(drawNext, 20); }
  }
  if ("IntersectionObserver" in window) {
    var watch = new IntersectionObserver(function (entries) {
      entries.forEach(function (entry) {
        if (entry.isIntersecting) { watch.unobserve(entry.target); draw(entry.target); }
      });
    });
    charts.forEach(function (node) { watch.observe(node); });
  }
  setTimeout(drawNext, 20);

  // Slices
  document.querySelectorAll(".viewer").forEach(function (viewer) {
    var numbers = viewer.dataset.numbers.split(","), slider = viewer.querySelector("input");
    function show() {
      var at = Number(slider.value), last = numbers.length - 1;
      viewer.style.setProperty("--at", (last ? at / last * 100 : 0) + "%");
      viewer.querySelector("output").textContent = "slice " + numbers[at] + " of " + viewer.dataset.depth;
    }
    slider.addEventListener("input", show);
    viewer.querySelector(".panels").addEventListener("wheel", function (event) {
      if (!event.shiftKey) { return; }
      event.preventDefault();
      slider.value = Number(slider.value) + Math.sign(event.deltaY || event.deltaX);
      show();
    }, {passive: false});
    show();
  });

  // Tables
  document.querySelectorAll("thead button").forEach(function (button) {
    button.addEventListener("click", function () {
      var head = button.parentNode, column = head.cellIndex, body = head.closest("table").tBodies[0];
      var down = head.getAttribute("aria-sort") === "ascending";
      head.parentNode.querySelectorAll("th").forEach(function (other) { other.removeAttribute("aria-sort"); });
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      function key(row) {
        var cell = row.cells[column];
        return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent;
      }
      Array.from(body.rows).sort(function (a, b) {
        var x = key(a), y = key(b);
        var order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), undefined, {numeric: true});
        return down ? -order : order;
      }).forEach(function (row) { body.appendChild(row); });
    });
  });
})();
