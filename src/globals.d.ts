/*
 * What Node has and @types/node leaves out: WebAssembly, which TypeScript counts to the browser's types, as far as it is
 * used here, and https://nodejs.org/api/process.html#processinitgroupsuser-extragroup.
 */

declare namespace WebAssembly {
  type Module = object;
  const Module: new (bytes: Uint8Array) => Module;

  class Instance {
    constructor(module: Module, imports: Readonly<Record<string, never>>);
    readonly exports: Readonly<Record<string, unknown>>;
  }

  interface Memory {
    readonly buffer: ArrayBuffer;
    /** By so many pages of 64 KiB. */
    grow(pages: number): number;
  }
}

declare namespace NodeJS {
  interface Process {
    initgroups?(user: string | number, extraGroup: string | number): void;
  }
}
