/*
 * A server that is stopped for longer is started again from what a file says. In there is what it needs of its environment,
 * and nothing that could be secret: names that are known to be harmless, not all but those that are known not to be.
 */

export interface LastingEnvironment {
  readonly env: Readonly<Record<string, string>>;
  /** Names of what it had besides, except what a terminal or a service manager gives to everything. */
  readonly leftOut: readonly string[];
}

const needed = /^(?:PATH|HOME|USER|LOGNAME|TMPDIR|TZ|TZDIR|LANG|LANGUAGE|LC_[A-Z]+|LD_LIBRARY_PATH|PG[A-Z0-9_]*)$/;
const secretName = /PASSWORD|PASSPHRASE|SECRET|TOKEN|CREDENTIAL|_KEY$/;
/** In a URI, or in words of libpq. */
const secretValue = /:\/\/[^/\s]*:[^/\s]*@|password\s*=/i;
const ofSession =
  /^(?:_|PWD|OLDPWD|SHLVL|SHELL|TERM|MAIL|LS_COLORS|INVOCATION_ID|JOURNAL_STREAM|(?:XDG|SSH|SUDO)_\w+)$/;

export function lastingEnvironment(env: NodeJS.ProcessEnv): LastingEnvironment {
  const kept: Record<string, string> = {};
  const leftOut: string[] = [];
  for (const [name, value = ''] of Object.entries(env)) {
    if (needed.test(name) && !secretName.test(name) && !secretValue.test(value)) kept[name] = value;
    else if (!ofSession.test(name)) leftOut.push(name);
  }
  return { env: kept, leftOut: leftOut.toSorted() };
}
