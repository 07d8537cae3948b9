/** The project's own files, for the tests that look at the tree instead of running it. */

/** Root of the tree, with a slash at its end. */
export const ROOT = new URL("..", import.meta.url).pathname;

/** What is not part of the project, or is made by running it. `.git` is a file where git has put a second tree. */
const OUTSIDE = new Set([".git", "node_modules", "vendor", "coverage", "build"]);

/** Paths of all files below `folder` ("" for the root), relative to the root. */
export function files(folder = ""): string[] {
  const found: string[] = [];
  for (const { name, isDirectory, isFile } of Deno.readDirSync(ROOT + folder)) {
    const path = folder === "" ? name : `${folder}/${name}`;
    if (OUTSIDE.has(name)) continue;
    if (isDirectory) found.push(...files(path));
    else if (isFile) found.push(path);
  }
  return found.sort();
}

/** Text of a file. */
export function read(path: string): string {
  return Deno.readTextFileSync(ROOT + path);
}

/** Program text without comments, line by line where it was. */
export function withoutComments(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ""))
    .replace(/(^|\s)\/\/.*$/gm, "$1");
}
