// Asks a card to prove who its holder is, by way of the Web eID extension or of
// an eidagent that listens on this computer. Both ask for consent and PIN in
// windows of their own. What comes back is put into the form of the page and is
// judged by the server alone.
const form = document.getElementById("card");
const state = document.getElementById("state");
const { nonce, lang } = form.dataset;
const agents = form.dataset.agents ? form.dataset.agents.split(" ") : [];
const buttons = [document.getElementById("extension"), document.getElementById("agent")].filter(Boolean);

const tell = (text) => { state.textContent = text; };
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

function send(token, intermediates = []) {
  form.elements.web_eid.value = JSON.stringify(token);
  form.elements.intermediates.value = intermediates.join(" ");
  form.submit();
}

// extension speaks the page protocol of Web eID: a request to our own window, an
// acknowledgement within a second, and in the end an answer.
function extension() {
  const action = "web-eid:authenticate";
  return new Promise((resolve, reject) => {
    const patience = setTimeout(() => end(reject, new Error("missing")), 2000);
    const end = (settle, value) => {
      clearTimeout(patience);
      removeEventListener("message", hear);
      settle(value);
    };
    const hear = ({ source, data }) => {
      if (source !== window || typeof data?.action !== "string") return;
      if (data.action === action + "-ack") {
        clearTimeout(patience);
        tell(form.dataset.wait);
      } else if (data.action === action + "-success") {
        const { unverifiedCertificate, algorithm, signature, format, appVersion } = data;
        end(resolve, { unverifiedCertificate, algorithm, signature, format, appVersion });
      } else if (data.action === action + "-failure") {
        end(reject, new Error(data.error?.code === "ERR_WEBEID_USER_CANCELLED" ? "cancelled" : "failed"));
      }
    };
    addEventListener("message", hear);
    postMessage({ action, libraryVersion: "2.1.0", challengeNonce: nonce, options: { lang } }, location.origin);
  });
}

async function call(base, method, path, { token, body, key } = {}) {
  const headers = {};
  if (token) headers.Authorization = "Bearer " + token;
  if (body) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  try {
    return await fetch(base + path, {
      method, headers, mode: "cors", credentials: "omit", cache: "no-store", redirect: "error",
      referrerPolicy: "no-referrer", body: body && JSON.stringify(body),
    });
  } catch {
    return null;
  }
}

// pair asks an agent to know this page; the person compares a code.
async function pair() {
  const compare = document.getElementById("compare");
  const pairing = document.getElementById("pairing");
  for (const base of agents) {
    const response = await call(base, "POST", "/v1/pairings", { body: { origin_name: form.dataset.brand, scopes: ["authenticate"] } });
    if (response?.status !== 202) continue;
    const asked = await response.json();
    compare.textContent = asked.compare_code;
    pairing.hidden = false;
    try {
      for (;;) {
        const answer = await (await call(base, "GET", "/v1/pairings/" + encodeURIComponent(asked.id) + "?wait=25"))?.json();
        if (answer?.state === "approved" && answer.token) return { base, token: answer.token };
        if (answer?.state !== "pending") throw new Error(answer?.state === "denied" ? "cancelled" : "failed");
      }
    } finally {
      pairing.hidden = true;
    }
  }
  throw new Error("agent");
}

const remembered = "broker_agent"; // in sessionStorage: {base, token}

function recall() {
  try {
    const known = JSON.parse(sessionStorage.getItem(remembered));
    return agents.includes(known.base) && typeof known.token === "string" ? known : null;
  } catch {
    return null;
  }
}

async function agent() {
  const body = { kind: "authenticate", expires_in: 120, locale: lang, authenticate: { nonce, format: "web-eid:1.0" } };
  const key = crypto.randomUUID();
  for (let known = recall(), fresh = false; ; known = null) {
    if (!known) {
      if (fresh) throw new Error("failed");
      fresh = true;
      known = await pair();
    }
    const response = await call(known.base, "POST", "/v1/requests", { token: known.token, body, key });
    if (response?.status !== 201) {
      sessionStorage.removeItem(remembered);
      continue;
    }
    sessionStorage.setItem(remembered, JSON.stringify(known));
    tell(form.dataset.wait);
    return follow(known, await response.json());
  }
}

async function follow(known, created) {
  for (let seq = created.seq; ;) {
    const path = "/v1/requests/" + encodeURIComponent(created.id) + "?wait=25&seq=" + seq;
    const response = await call(known.base, "GET", path, { token: known.token });
    if (!response?.ok) throw new Error("failed");
    const request = await response.json();
    seq = request.seq;
    if (request.state === "done") return [request.authenticate, request.chain];
    if (["declined", "cancelled", "expired"].includes(request.state)) throw new Error("cancelled");
    if (request.state === "failed") throw new Error("failed");
  }
}

async function run(how) {
  for (const b of buttons) b.disabled = true;
  try {
    if (how === "agent") send(...await agent());
    else send(await extension());
  } catch (problem) {
    tell(form.dataset[problem.message] ?? form.dataset.failed);
    await pause(500);
    for (const b of buttons) b.disabled = false;
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  run(event.submitter?.value);
});
for (const b of buttons) b.hidden = false;
