// The map of a result: the file itself is read by ranges, at the resolution of the screen. Without this script its preview stays.
"use strict";

const holder = document.getElementById("map");
const colors = JSON.parse(holder.dataset.colors);
const RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

function parts(color) {
  return [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
}

/** What a pixel is drawn as: the colour of its class, or of its place between least and greatest. */
function styleOf(bandCount) {
  if (colors.classes.length) {
    const cases = colors.classes.flatMap(([value, color], index) => [
      ["==", ["band", 1], value], ["color", ...parts(color), ["var", `show${index}`]],
    ]);
    return { color: ["case", ...cases, ["color", 0, 0, 0, 0]], variables: Object.fromEntries(colors.classes.map((_, index) => [`show${index}`, 1])) };
  }
  const [least, greatest] = colors.span ?? [0, 255];
  const stops = RAMP.flatMap((rgb, index) => [least + (greatest - least || 1) * index / (RAMP.length - 1), ["color", ...rgb, 1]]);
  return { color: ["case", ["==", ["band", bandCount], 0], ["color", 0, 0, 0, 0], ["interpolate", ["linear"], ["band", 1], ...stops]] };
}

function say(text) {
  document.getElementById("map-problem").textContent = text;
}

function labelStyle(textAlign, textBaseline, offsetX) {
  return new ol.style.Text({ font: "12px system-ui, sans-serif", textAlign, textBaseline, offsetX, offsetY: textBaseline === "bottom" ? -4 : 0, fill: new ol.style.Fill({ color: "#000" }), stroke: new ol.style.Stroke({ color: "#fff", width: 3 }) });
}

/** A longitude, for the lower edge of the map; nothing where it would be cut off at its sides. */
function label(lon, map) {
  const view = map.getView();
  const [x] = ol.proj.fromLonLat([lon, ol.proj.toLonLat(view.getCenter(), view.getProjection())[1]], view.getProjection());
  const at = (x - view.getCenter()[0]) / view.getResolution() + map.getSize()[0] / 2;
  return at < 40 || at > map.getSize()[0] - 40 ? "" : ol.coordinate.degreesToStringHDMS("EW", lon);
}

async function show() {
  const source = new ol.source.GeoTIFF({ sources: [{ url: new URL(holder.dataset.cog, location.href).href }], normalize: false, interpolate: false, convertToRGB: false });
  const options = await source.getView();
  if (source.getState() === "error") throw source.error_ ?? new Error("it is no GeoTIFF that a browser can read");
  const projection = ol.proj.get(options.projection);
  if (!projection.getWorldExtent()) { // of UTM zones: the lines of the grid need to know where they are
    const [west, south, east, north] = ol.proj.transformExtent(options.extent, projection, "EPSG:4326");
    const around = [Math.max(-180, west - 3), Math.max(-85, south - 3), Math.min(180, east + 3), Math.min(85, north + 3)];
    projection.setWorldExtent(around);
    projection.setExtent(ol.proj.transformExtent(around, "EPSG:4326", projection, 8));
  }
  const layer = new ol.layer.WebGLTile({ source, style: styleOf(source.bandCount) });
  const view = new ol.View({ projection, center: options.center, showFullExtent: true, constrainResolution: false });
  const grid = { wrapX: false, targetSize: 140 };
  const lines = new ol.layer.Graticule({ ...grid, strokeStyle: new ol.style.Stroke({ color: "rgba(120,135,130,.45)", width: 1, lineDash: [2, 4] }) });
  const labels = new ol.layer.Graticule({ ...grid, showLabels: true, strokeStyle: new ol.style.Stroke({ color: "transparent" }), lonLabelFormatter: (lon) => label(lon, map), latLabelStyle: labelStyle("end", "middle", -6), lonLabelStyle: labelStyle("center", "bottom", 0) });
  const map = new ol.Map({
    layers: [lines, layer, labels], view,
    controls: [new ol.control.Zoom(), new ol.control.ScaleLine(), new ol.control.FullScreen({ label: "\u25a1", labelActive: "\u00d7" })],
  });
  const image = holder.querySelector("img");
  map.once("rendercomplete", () => { holder.dataset.shown = ""; });
  image?.remove();
  map.setTarget(holder);
  view.fit(options.extent, { padding: [24, 24, 24, 24] });
  layer.on("error", () => say("a part of the map cannot be read"));
  source.on("tileloaderror", () => say("a part of the map cannot be read"));
  connect(map, layer, view);
}

function connect(map, layer, view) {
  document.getElementById("opacity").addEventListener("input", (event) => layer.setOpacity(event.target.value / 100));
  for (const box of document.querySelectorAll("[data-class]")) {
    box.addEventListener("change", () => layer.updateStyleVariables({ [`show${box.dataset.class}`]: box.checked ? 1 : 0 }));
  }
  const names = new Map([...document.querySelectorAll("[data-value]")].map((mark) => [Number(mark.dataset.value), mark.previousElementSibling.textContent]));
  const pixel = document.getElementById("pixel");
  map.on(["pointermove", "click"], (event) => {
    if (event.dragging) return;
    const data = layer.getData(event.pixel);
    const [lon, lat] = ol.proj.toLonLat(event.coordinate, view.getProjection());
    const value = data === null || data.length > 1 && data[data.length - 1] === 0 ? "outside of the map" : names.get(data[0]) ?? String(Number(data[0].toPrecision(5)));
    pixel.textContent = `${value} · ${lat.toFixed(5)}, ${lon.toFixed(5)}`;
  });
}

document.querySelector("main").classList.add("scripted");
show().catch((error) => say(`The map cannot be shown in this browser: ${error.message}`));
