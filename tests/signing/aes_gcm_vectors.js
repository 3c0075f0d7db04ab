// How aes_gcm_vectors.json was made, once and by hand: node aes_gcm_vectors.js > aes_gcm_vectors.json (Node 20).
// Node is not needed to run the tests. UTF-16LE text, tag apart from the body, checksum over the text as UTF-8.
const crypto = require("crypto");
const cases = [
  ["ascii", "0123456789abcdef0123456789abcdef", "000102030405060708090a0b", '{"notifications":[]}'],
  ["latin", "k3y-of-32-characters-0123456789!", "a0a1a2a3a4a5a6a7a8a9aaab", '[{"eventId":"1","name":"Søren Ærø, Zürich, Łódź"}]'],
  ["cjk", "schlüssel-mit-31-zeichen-012345", "ffffffffffffffffffffffff", '{"name":"株式会社 東京 Ελλάδα Кириллица"}'],
  ["astral", "Z".repeat(32), "0f0e0d0c0b0a090807060504", '{"note":"paid 💶 by 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 👩‍👩‍👧"}'],
  ["bom", "abcdefghijklmnopqrstuvwxyz012345", "112233445566778899aabbcc", '\ufeff{"notifications":[{"eventId":"é"}]}'],
  ["empty", "abcdefghijklmnopqrstuvwxyz012345", "aabbccddeeff001122334455", ''],
];
const out = cases.map(([name, key, nonce, text]) => {
  const material = Buffer.from(key, "utf8");
  if (material.length !== 32) throw new Error(name + " " + material.length);
  const cipher = crypto.createCipheriv("aes-256-gcm", material, Buffer.from(nonce, "hex"));
  const body = Buffer.concat([cipher.update(Buffer.from(text, "utf16le")), cipher.final()]);
  return { name, key, text, nonce: Buffer.from(nonce, "hex").toString("base64"), tag: cipher.getAuthTag().toString("base64"),
    checksum: crypto.createHash("sha256").update(Buffer.from(text, "utf8")).digest("base64"), body: body.toString("base64") };
});
console.log(JSON.stringify(out, null, 1));
