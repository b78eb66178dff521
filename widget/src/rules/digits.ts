// Digits as people type and paste them: with blanks and dashes, or in the full width of East Asian keyboards.

const FULL_WIDTH_ZERO = 0xff10;
const ARABIC_ZERO = 0x0660;
const PERSIAN_ZERO = 0x06f0;

// Same length as the text, so that a caret's place means the same in both.
export function withPlainDigits(text: string): string {
  return text.replace(/\uff0f/g, "/").replace(/[\uff10-\uff19\u0660-\u0669\u06f0-\u06f9]/g, (sign) => {
    const code = sign.charCodeAt(0);
    const zero = code >= FULL_WIDTH_ZERO ? FULL_WIDTH_ZERO : code >= PERSIAN_ZERO ? PERSIAN_ZERO : ARABIC_ZERO;
    return String(code - zero);
  });
}

export function digitsOf(text: string): string {
  return withPlainDigits(text).replace(/[^0-9]/g, "");
}

// ISO/IEC 7812-1 annex B.
export function isLuhn(digits: string): boolean {
  let sum = 0;
  [...digits].reverse().forEach((digit, place) => {
    const value = Number(digit) * (place % 2 ? 2 : 1);
    sum += value > 9 ? value - 9 : value;
  });
  return digits !== "" && sum % 10 === 0;
}
