/** Tables on standard output. */

export type Row = Record<string, string>;

/** Prints rows that have the same columns. */
export function printTable(title: string, rows: Row[]): void {
  const columns = Object.keys(rows[0]);
  const widths = columns.map((name) =>
    Math.max(name.length, ...rows.map((row) => row[name].length))
  );
  const line = (cells: string[]) =>
    "| " + cells.map((cell, i) => cell.padEnd(widths[i])).join(" | ") + " |";
  console.log(title + "\n");
  console.log(line(columns));
  console.log(line(widths.map((width) => "-".repeat(width))));
  for (const row of rows) console.log(line(columns.map((name) => row[name])));
  console.log();
}

export function megabytesPerSecond(bytes: number, ms: number): string {
  return `${(bytes / 1e6 / (ms / 1000)).toFixed(0)} MB/s`;
}
