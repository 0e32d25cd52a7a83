// Tells what is wrong with custom resources of Istio and cert-manager, which it
// reads as one JSON list. The schemas are those of the projects' own CRDs, as
// @kubernetes-models has them: as validators, which let unknown fields pass, and
// as types of TypeScript, which do not.
//
//   node custom_resources.mjs FOLDER <resources.json
//
// FOLDER has the node_modules of package.json.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const folder = resolve(process.argv[2]);
const require = createRequire(join(folder, "package.json"));
const ts = require("typescript");

// Which package has the kinds of a group.
const packages = [
  [/\.istio\.io$/, "@kubernetes-models/istio"],
  [/^cert-manager\.io$/, "@kubernetes-models/cert-manager"],
];

function model(resource) {
  const group = resource.apiVersion.split("/")[0];
  const found = packages.find(([groups]) => groups.test(group));
  if (!found) throw new Error(`nobody here knows ${resource.apiVersion} ${resource.kind}`);
  return `${found[1]}/${resource.apiVersion}/${resource.kind}`;
}

function name(resource) {
  return `${resource.kind.toLowerCase()}/${resource.metadata?.name ?? "-"}`;
}

// What is required, of which type, and which of several values.
async function values(resource) {
  const path = join(folder, "node_modules", `${model(resource)}.js`);
  const module = await import(pathToFileURL(path));
  try {
    new module[resource.kind](resource).validate();
    return [];
  } catch (error) {
    return [error.message];
  }
}

// Which fields there are at all.
function fields(resource) {
  const file = join(folder, "resource.ts");
  const text = `import type { I${resource.kind} } from "${model(resource)}";
export const resource: I${resource.kind} = ${JSON.stringify(resource, null, 1)};\n`;
  const options = {
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    noEmit: true,
    skipLibCheck: true,
    strict: true,
    target: ts.ScriptTarget.ES2022,
    types: [],
  };
  const host = ts.createCompilerHost(options);
  const read = host.getSourceFile;
  host.getSourceFile = (path, ...more) =>
    path === file ? ts.createSourceFile(file, text, ts.ScriptTarget.ES2022) : read(path, ...more);
  host.fileExists = (path) => path === file || ts.sys.fileExists(path);
  host.readFile = (path) => (path === file ? text : ts.sys.readFile(path));
  const program = ts.createProgram([file], options, host);
  return ts
    .getPreEmitDiagnostics(program)
    .map((problem) => ts.flattenDiagnosticMessageText(problem.messageText, "\n"));
}

let wrong = 0;
for (const resource of JSON.parse(readFileSync(0, "utf8"))) {
  const problems = [...(await values(resource)), ...fields(resource)];
  for (const problem of problems) console.error(`${name(resource)}: ${problem}`);
  if (problems.length === 0) console.log(`${name(resource)} is good`);
  wrong += problems.length;
}
process.exit(wrong === 0 ? 0 : 1);
