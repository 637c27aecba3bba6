import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { commands } from '../src/cli/commands.ts';
import { optionDefinitions } from '../src/config/options.ts';
import { catalogue, exitStatuses, type CatalogueEntry } from '../src/errors/catalogue.ts';

/* The documents are complete: what the program's own tables have, they explain; and their links lead somewhere. */

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const documents = [
  'README.md',
  'README.ko.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

/** The text below the heading of that text, up to the next of the same level or a higher one. */
function section(text: string, heading: string): string | undefined {
  const lines = text.split('\n');
  const at = lines.findIndex((line) => /^#+ /.test(line) && line.replace(/^#+ /, '') === heading);
  if (at === -1) return undefined;
  const level = lines[at]?.indexOf(' ') ?? 1;
  const end = lines.findIndex((line, index) => index > at && /^#+ /.test(line) && line.indexOf(' ') <= level);
  return lines.slice(at + 1, end === -1 ? undefined : end).join('\n');
}

/** As GitHub makes an anchor of a heading. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(/\s/g, '-');
}

function anchorsOf(text: string): Set<string> {
  const outsideCode = text.replaceAll(/^```[^]*?^```/gm, '');
  return new Set([...outsideCode.matchAll(/^#+ (.*)$/gm)].map((match) => anchorOf(match[1] ?? '')));
}

describe('the documents', () => {
  it('explain every error code, with its exit status', () => {
    const text = read('docs/errors.md');
    for (const [code, entry] of Object.entries(catalogue) as [string, CatalogueEntry][]) {
      const found = section(text, `\`${code}\``);
      assert.ok(found !== undefined, `docs/errors.md has no heading for \`${code}\``);
      assert.ok(
        found.trimStart().startsWith(`Exit ${exitStatuses[entry.kind]}. `),
        `docs/errors.md, \`${code}\`: expected it to begin "Exit ${exitStatuses[entry.kind]}."`,
      );
    }
    const known = Object.keys(catalogue);
    for (const [, code = ''] of text.matchAll(/^### `(.*)`$/gm)) {
      assert.ok(known.includes(code), `docs/errors.md explains \`${code}\`, which is no code`);
    }
  });

  it('describe every command and every option of it', () => {
    const text = read('docs/commands.md');
    for (const { name, positional, options } of commands) {
      const found = section(text, name);
      assert.ok(found !== undefined, `docs/commands.md has no heading for ${name}`);
      const words = ['pgrecall', name, ...positional.map((word) => word.slice(1, -1).toUpperCase())];
      assert.ok(
        text.includes(`\n${words.slice(0, 2).join(' ')}`),
        `docs/commands.md does not list ${words.slice(0, 2).join(' ')}`,
      );
      for (const { flags, hidden } of options) {
        if (hidden === true) continue;
        assert.ok(found.includes(`\`${flags}\``), `docs/commands.md, ${name}: no \`${flags}\``);
      }
      const known = new Set(options.map(({ flags }) => flags.split(' ')[0]));
      for (const [, flag = ''] of found.matchAll(/^\| `(--[a-z-]+)/gm)) {
        assert.ok(known.has(flag), `docs/commands.md, ${name}: ${flag} is no option of it`);
      }
    }
  });

  it('describe every option of the configuration', () => {
    const found = section(read('docs/configuration.md'), 'Options') ?? '';
    const described = [...found.matchAll(/^\| `([a-z_]+)` \| ([a-z, ]+) \|/gm)].map(
      ([, name, scope]) => `${name}: ${scope}`,
    );
    const scopes = { top: 'top', cluster: 'cluster', both: 'top, cluster' };
    assert.deepEqual(
      described,
      optionDefinitions.map(({ name, scope }) => `${name}: ${scopes[scope]}`),
    );
  });

  it('have links that lead somewhere', () => {
    const broken: string[] = [];
    for (const document of documents) {
      const text = read(document).replaceAll(/^```[^]*?^```/gm, '');
      for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^https?:/.test(target)) continue;
        const [path = '', anchor] = target.split('#');
        const file = path === '' ? document : join(dirname(document), path);
        const there = existsSync(join(root, file));
        if (!there || (anchor !== undefined && !anchorsOf(read(file)).has(anchor)))
          broken.push(`${document}: ${target}`);
      }
    }
    assert.deepEqual(broken, []);
  });
});
