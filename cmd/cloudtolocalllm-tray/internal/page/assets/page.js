"use strict";
const $ = (s, at = document) => at.querySelector(s);
const form = $("#form");
let revision = 0, loaded = false, dirty = false;

async function post(path, data) {
  const r = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(data) });
  if (!r.ok) throw new Error((await r.text()).trim() || "HTTP " + r.status);
  return r.status === 204 ? null : r.json();
}

function notice(text) {
  $("#notice").textContent = text;
  $("#notice").hidden = !text;
}

const words = { connected: "Connected", connecting: "Connecting…", disconnected: "Not connected", error: "Error" };

function describe(s, enabled) {
  if (!enabled) return "Switched off";
  const parts = [words[s.state] || s.state];
  if (s.state === "connected") {
    if (s.version) parts.push("version " + s.version);
    if (s.models.length) parts.push(s.models.length + (s.models.length === 1 ? " model" : " models"));
  } else if (s.error_message) parts.push(s.error_message);
  return parts.join(" · ");
}

function show(st) {
  const set = st.settings;
  for (const card of document.querySelectorAll("[data-connection]")) {
    const name = card.dataset.connection, s = st.connections[name];
    $(".dot", card).className = "dot " + s.state;
    $(".state .text", card).textContent = describe(s, set.connections[name].enabled);
    $(".state", card).title = s.models.join(", ");
  }
  const d = st.daemon;
  $("#summary").textContent = d.best ? "Requests go to " + (d.best === "local_ollama" ? "the local Ollama" : "the cloud") + "." : "No connection is available.";
  $("#token-where").textContent = d.token.set ? "A token is stored " + (d.token.storage === "file" ? "in a file only you can open (no keyring was found)." : "in the desktop's keyring.") : "No token is stored.";
  $("#drop-token").disabled = !d.token.set;
  $("#http-where").textContent = d.http.port ? "Listening on http://127.0.0.1:" + d.http.port + " · key in " + d.http.key_file : d.http.problem ? "Not listening: " + d.http.problem : "Not listening.";
  $("#daemon").textContent = "Daemon " + d.version + " · tray: " + d.tray.state.replace("_", " ");
  notice((st.problems || []).join(" "));
  if (st.revision !== revision || !loaded) {
    if (dirty && loaded) $("#saved").textContent = "The settings were changed elsewhere; saving would be refused. Reload to see them.";
    else fill(st);
  }
  form.hidden = false;
}

function fill(st) {
  revision = st.revision;
  const set = st.settings, f = form.elements;
  for (const card of document.querySelectorAll("[data-connection]")) {
    const c = set.connections[card.dataset.connection];
    $("[name=enabled]", card).checked = c.enabled;
    $("[name=api_base_url]", card).value = c.api_base_url;
    $("[name=timeout]", card).value = c.timeout;
  }
  f.mode.value = set.broker.mode;
  f.http_enabled.checked = set.http.enabled;
  f.http_port.value = set.http.port;
  f.http_auth.value = set.http.auth;
  f.tray_enabled.checked = set.tray.enabled;
  f.tray_icons.value = set.tray.icons;
  loaded = true;
  dirty = false;
}

form.addEventListener("input", e => { if (e.target.id !== "token") { dirty = true; $("#saved").textContent = ""; } });
form.addEventListener("submit", async e => {
  e.preventDefault();
  const f = form.elements, connections = {};
  for (const card of document.querySelectorAll("[data-connection]"))
    connections[card.dataset.connection] = { enabled: $("[name=enabled]", card).checked, api_base_url: $("[name=api_base_url]", card).value, timeout: Number($("[name=timeout]", card).value) };
  const settings = { connections, broker: { mode: f.mode.value }, http: { enabled: f.http_enabled.checked, port: Number(f.http_port.value), auth: f.http_auth.value },
    tray: { enabled: f.tray_enabled.checked, icons: f.tray_icons.value } };
  try {
    revision = (await post("/api/settings", { revision, settings })).revision;
    dirty = false;
    $("#saved").textContent = "Saved.";
    $("#saved").className = "good";
  } catch (err) {
    $("#saved").textContent = "Not saved: " + err.message;
    $("#saved").className = "bad";
  }
});

for (const button of document.querySelectorAll(".test"))
  button.addEventListener("click", async () => {
    const out = $(".result", button.parentElement), card = button.closest("[data-connection]");
    button.disabled = true;
    out.className = "result";
    out.textContent = "Testing…";
    try {
      const r = await post("/api/test", { connection: card.dataset.connection });
      out.textContent = r.state === "connected" ? "Works, answered in " + r.latency_ms + " ms" : r.error_message || "Not connected";
      out.classList.add(r.state === "connected" ? "good" : "bad");
    } catch (err) { out.textContent = err.message; out.classList.add("bad"); }
    button.disabled = false;
  });

async function token(value) {
  try { await post("/api/token", { token: value }); $("#token").value = ""; } catch (err) { notice(err.message); }
}
$("#set-token").addEventListener("click", () => { if ($("#token").value) token($("#token").value.trim()); });
$("#drop-token").addEventListener("click", () => token(""));
$("#rotate").addEventListener("click", async () => {
  try { $("#rotated").textContent = "A new key is in " + (await post("/api/rotate", {})).path; } catch (err) { $("#rotated").textContent = err.message; }
});

(async () => {
  const link = location.hash.slice(1);
  history.replaceState(null, "", "/"); // the token leaves the address bar and the history
  if (link) {
    try { await post("/session", { token: link }); } catch (err) { $("#summary").textContent = err.message; return; }
  }
  const events = new EventSource("/api/events");
  events.onmessage = e => show(JSON.parse(e.data));
  events.onerror = () => { $("#summary").textContent = events.readyState === EventSource.CLOSED ? "This page has expired: open it from the tray menu again." : "The tray daemon does not answer. Trying again…"; };
})();
