// An area drawn on a map: a rectangle, a polygon, or a GeoJSON file. What is drawn goes into the field below, and so into the spec's text.
"use strict";

const LONGEST = 100000; // characters of GeoJSON in a spec
const DIGITS = 5; // of degrees: about a metre

const rounded = (value) => Array.isArray(value) ? value.map(rounded) : Number(value.toFixed(DIGITS));

/** The polygons of GeoJSON alone. Throws what is wrong with it. */
function polygons(data) {
  if (data.crs && !/CRS84|4326/.test(JSON.stringify(data.crs))) throw new Error("its coordinates are not in degrees");
  const parts = [];
  const walk = (each) => {
    if (each?.type === "FeatureCollection") each.features.forEach(walk);
    else if (each?.type === "Feature") walk(each.geometry);
    else if (each?.type === "GeometryCollection") each.geometries.forEach(walk);
    else if (each?.type === "Polygon") parts.push(each.coordinates);
    else if (each?.type === "MultiPolygon") parts.push(...each.coordinates);
  };
  walk(data);
  if (parts.length === 0) throw new Error("it has no polygons");
  const flat = rounded(parts.map((rings) => rings.map((ring) => ring.map(([x, y]) => [x, y]))));
  return flat.length === 1 ? { type: "Polygon", coordinates: flat[0] } : { type: "MultiPolygon", coordinates: flat };
}

function button(text, holder, work) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "small-button";
  made.textContent = text;
  made.addEventListener("click", () => work(made));
  holder.append(made);
  return made;
}

function areaMap(holder) {
  const field = () => document.getElementById(holder.dataset.area); // another element after each change of the form
  const tools = document.createElement("div");
  tools.className = "area-tools";
  const place = document.createElement("div");
  place.className = "area-map";
  place.tabIndex = 0;
  place.setAttribute("aria-label", "Map; the arrow keys move it, + and - zoom. The area can be typed below it too.");
  const said = document.createElement("p");
  said.className = "dim small";
  said.setAttribute("role", "status");
  holder.replaceChildren(tools, place, said);
  const say = (text) => { said.textContent = text; };
  const drawn = new ol.source.Vector({ wrapX: false });
  const style = new ol.style.Style({ stroke: new ol.style.Stroke({ color: "#0f766e", width: 2 }), fill: new ol.style.Fill({ color: "rgba(15,118,110,.15)" }) });
  const land = new ol.source.Vector({ url: holder.closest("form").dataset.land, format: new ol.format.GeoJSON(), wrapX: false });
  const view = new ol.View({ projection: "EPSG:4326", center: [0, 20], zoom: 0, extent: [-180, -90, 180, 90], showFullExtent: true });
  const whole = (lon) => { // nothing where it would be cut off at the map's sides
    const at = (lon - view.getCenter()[0]) / view.getResolution() + map.getSize()[0] / 2;
    return at < 40 || at > map.getSize()[0] - 40 ? "" : ol.coordinate.degreesToStringHDMS("EW", lon);
  };
  const map = new ol.Map({
    layers: [
      new ol.layer.Vector({ source: land, style: new ol.style.Style({ fill: new ol.style.Fill({ color: "rgba(130,150,140,.35)" }), stroke: new ol.style.Stroke({ color: "rgba(130,150,140,.7)", width: 1 }) }) }),
      new ol.layer.Graticule({ showLabels: true, wrapX: false, targetSize: 140, lonLabelFormatter: whole, strokeStyle: new ol.style.Stroke({ color: "rgba(120,135,130,.45)", width: 1, lineDash: [2, 4] }) }),
      new ol.layer.Vector({ source: drawn, style }),
    ],
    view, controls: [new ol.control.Zoom(), new ol.control.FullScreen({ label: "\u25a1", labelActive: "\u00d7" })],
  });
  map.on("moveend", () => { place.dataset.extent = view.calculateExtent(map.getSize()).join(","); });
  map.setTarget(place);

  let shown = ""; // of the field, what the map shows
  const take = (value) => {
    const text = JSON.stringify(value);
    if (text.length > LONGEST) { say("This is too large for a spec: put the file into the project, and name its path."); return; }
    field().value = shown = text;
    field().dispatchEvent(new Event("change", { bubbles: true }));
  };
  let draw = null;
  const begin = (type, geometryFunction) => (pressed) => {
    const again = pressed.getAttribute("aria-pressed") === "true";
    if (draw !== null) map.removeInteraction(draw);
    for (const each of tools.querySelectorAll("[aria-pressed]")) each.setAttribute("aria-pressed", "false");
    draw = null;
    if (again) return;
    pressed.setAttribute("aria-pressed", "true");
    draw = new ol.interaction.Draw({ source: drawn, type, geometryFunction });
    draw.on("drawstart", () => drawn.clear());
    draw.on("drawend", (event) => {
      const shape = event.feature.getGeometry();
      take(type === "Circle" ? rounded(shape.getExtent()) : { type: "Polygon", coordinates: rounded(shape.getCoordinates()) });
    });
    map.addInteraction(draw);
    say(type === "Circle" ? "Click two opposite corners." : "Click each corner; a double click ends it.");
  };
  button("Rectangle", tools, begin("Circle", ol.interaction.Draw.createBox())).setAttribute("aria-pressed", "false");
  button("Polygon", tools, begin("Polygon")).setAttribute("aria-pressed", "false");
  const file = document.createElement("input");
  file.type = "file";
  file.accept = ".geojson,.json,application/geo+json";
  file.setAttribute("aria-label", "GeoJSON file");
  const read = async (each) => {
    try { take(polygons(JSON.parse(await each.text()))); } catch (error) { say(`${each.name} cannot be taken: ${error.message}`); }
  };
  file.addEventListener("change", (event) => { event.stopPropagation(); if (file.files.length) read(file.files[0]); });
  tools.append(file);
  place.addEventListener("dragover", (event) => { event.preventDefault(); place.classList.add("over"); });
  place.addEventListener("dragleave", () => place.classList.remove("over"));
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    place.classList.remove("over");
    if (event.dataTransfer.files.length) read(event.dataTransfer.files[0]);
  });

  const showValue = () => {
    const text = field()?.value ?? "";
    const own = text.replaceAll(" ", "") === shown.replaceAll(" ", "");
    shown = text;
    if (own && drawn.getFeatures().length) return;
    drawn.clear();
    const now = JSON.parse(text || "null");
    const shape = Array.isArray(now) ? ol.geom.Polygon.fromExtent(now) : now === null ? null : new ol.format.GeoJSON().readGeometry(polygons(now));
    if (shape !== null) {
      drawn.addFeature(new ol.Feature(shape));
      view.fit(shape, { padding: [40, 40, 40, 40], maxZoom: 14, size: [place.clientWidth || 400, place.clientHeight || 300] });
    }
  };
  holder.showValue = () => { try { showValue(); } catch (error) { say(`The area cannot be shown: ${error.message}`); } };
  holder.showValue();
}

/** Make the map of each area that is in view; one in a closed part of the form waits until that is opened. */
function showAreas() {
  for (const holder of document.querySelectorAll(".area-draw:not(:empty)")) holder.showValue();
  for (const holder of document.querySelectorAll(".area-draw:empty")) {
    if (holder.offsetParent !== null) areaMap(holder);
    else holder.closest("details")?.addEventListener("toggle", showAreas, { once: true });
  }
}

document.addEventListener("taken-over", showAreas);
showAreas();
