/** What steers a terminal, forges a line or reorders text. */
const steering = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
const steeringBeyondAscii = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/**
 * Names, annotations, media types and answers come from registries: control characters (a terminal's escapes, line
 * ends, and what reorders text) are shown by their number, never sent.
 */
export function printable(text: string): string {
  return text.replace(steering, escape);
}

/** At most so many characters, with a sign where there were more. */
export function shorten(text: string, longest: number): string {
  return text.length > longest ? `${text.slice(0, longest - 1)}…` : text;
}

/** Whether a text has characters that would steer a terminal or reorder its text. */
export function isSteering(text: string): boolean {
  return text.search(steering) !== -1;
}

/** Replaces what JSON and YAML leave as it is within double quotes. */
export function escapeBeyondAscii(quoted: string): string {
  return quoted.replace(steeringBeyondAscii, escape);
}

/** JSON with the same meaning that a terminal can be shown: JSON itself escapes only the ASCII ones. */
export function formatJson(value: unknown, indent?: number): string {
  return escapeBeyondAscii(JSON.stringify(value, null, indent));
}

function escape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
