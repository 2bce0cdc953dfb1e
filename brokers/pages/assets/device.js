// Waits for the device without loading the page anew, and keeps the code to be
// scanned fresh. Without scripts the page does both by reloading itself.
const device = document.getElementById("device");
const qr = document.getElementById("qr");
if (qr) {
  const source = qr.src;
  let n = 0;
  setInterval(() => { qr.src = source + "?" + ++n; }, 1000);
}
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
for (;;) {
  await pause(1000);
  let answer;
  try {
    answer = await fetch(device.dataset.look, { redirect: "manual", cache: "no-store" });
  } catch {
    await pause(3000);
    continue;
  }
  if (answer.status === 503) {
    await pause(3000);
    continue;
  }
  if (answer.type === "opaqueredirect" || !answer.ok) {
    location.replace(device.dataset.resume);
    break;
  }
  if (answer.headers.get("Dialog-Step") !== device.dataset.step) {
    location.reload();
    break;
  }
}
