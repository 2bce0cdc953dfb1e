// Finds a number such that the SHA-256 of the seed, a colon and the number begins
// with as many zero bits as the page says, and goes on with it. The text always
// fits one block of SHA-256, so that this is the compression function alone: the
// browser's own hash is not there on plain http and is slow for many short texts.
const status = document.getElementById("challenge");
const { seed, bits, location: target } = status.dataset;
const zeros = Number(bits);

// The constants are the fractions of the square and cube roots of primes (FIPS
// 180-4, 4.2.2 and 5.3.3).
const primes = [];
for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p)) primes.push(n);
const fraction = (x) => ((x - Math.floor(x)) * 2 ** 32) | 0;
const constants = Int32Array.from(primes, (p) => fraction(Math.cbrt(p)));
const initial = Int32Array.from(primes.slice(0, 8), (p) => fraction(Math.sqrt(p)));
const words = new Int32Array(64);
const turn = (x, n) => (x >>> n) | (x << (32 - n));

// head is the first word of the hash: more than 24 zero bits are never asked for.
function head(text) {
  words.fill(0, 0, 16);
  for (let i = 0; i < text.length; i++) words[i >> 2] |= text.charCodeAt(i) << (24 - 8 * (i & 3));
  words[text.length >> 2] |= 0x80 << (24 - 8 * (text.length & 3));
  words[15] = text.length * 8;
  for (let i = 16; i < 64; i++) {
    const x = words[i - 15], y = words[i - 2];
    words[i] = (words[i - 16] + words[i - 7] + (turn(x, 7) ^ turn(x, 18) ^ (x >>> 3)) + (turn(y, 17) ^ turn(y, 19) ^ (y >>> 10))) | 0;
  }
  let [a, b, c, d, e, f, g, h] = initial;
  for (let i = 0; i < 64; i++) {
    const one = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + constants[i] + words[i]) | 0;
    const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g; g = f; f = e; e = (d + one) | 0; d = c; c = b; b = a; a = (one + two) | 0;
  }
  return (initial[0] + a) | 0;
}

// work tries for a moment and lets the page breathe.
function work(number) {
  for (const end = number + 20000; number < end; number++) {
    if (Math.clz32(head(seed + ":" + number)) >= zeros) {
      location.replace(target + "&challenge_solution=" + number);
      return;
    }
  }
  setTimeout(work, 0, number);
}
work(0);
