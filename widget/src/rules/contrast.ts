// How well a text stands out from its background: WCAG 2.2, relative luminance and contrast ratio.

export type Colour = readonly [number, number, number];

// As browsers report colours: `rgb(1, 2, 3)`. Null for one that can be seen through, or that is written otherwise.
export function readColour(text: string): Colour | null {
  const match = /^rgb\((\d+),\s*(\d+),\s*(\d+)\)$/.exec(text.trim());
  return match ? [Number(match[1]), Number(match[2]), Number(match[3])] : null;
}

function luminance(colour: Colour): number {
  const [red, green, blue] = colour.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

// From 1, the same, to 21, black on white.
export function contrast(one: Colour, other: Colour): number {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b) as [number, number];
  return (light + 0.05) / (dark + 0.05);
}
