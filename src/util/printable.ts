/** Characters that control a terminal, forge a line or reorder text. */
const steering = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
const steeringBeyondAscii = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/**
 * Makes text of registries printable, such as names, annotations, media types and responses: control characters (a
 * terminal's escapes, line ends, and those that reorder text) are replaced by their number.
 */
export function printable(text: string): string {
  return text.replace(steering, escape);
}

/** Whether a text has characters that would control a terminal or reorder its text. */
export function isSteering(text: string): boolean {
  return text.search(steering) !== -1;
}

/** Escapes what JSON and YAML leave unescaped within double quotes. */
export function escapeBeyondAscii(quoted: string): string {
  return quoted.replace(steeringBeyondAscii, escape);
}

/** Formats equal JSON that is safe for a terminal: JSON itself escapes only the ASCII control characters. */
export function formatJson(value: unknown, indent?: number): string {
  return escapeBeyondAscii(JSON.stringify(value, null, indent));
}

function escape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
