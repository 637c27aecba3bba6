import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

/** Waits until something is so; a test that waits in vain says for what. */
export async function eventually(
  what: string | (() => string),
  isSo: () => Promise<boolean> | boolean,
  options: { readonly timeoutMs?: number; readonly pauseMs?: number } = {},
): Promise<void> {
  const deadline = performance.now() + (options.timeoutMs ?? 180_000);
  while (!(await isSo())) {
    if (performance.now() > deadline) assert.fail(`waited in vain: ${typeof what === 'string' ? what : what()}`);
    await sleep(options.pauseMs ?? 20);
  }
}
