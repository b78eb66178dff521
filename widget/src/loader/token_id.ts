// The frame's address carries this hash of the public token, never the token itself: addresses end up in logs.

const HEX_64 = /^[0-9a-f]{64}$/;

export function isToken(token: unknown): token is string {
  return typeof token === "string" && HEX_64.test(token);
}

export async function tokenId(token: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(token));
  return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
