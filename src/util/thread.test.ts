import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { temporaryDirectory } from '../../test/support/os/temporary.ts';
import { ArtifactError } from './error.ts';
import { startThread } from './thread.ts';

const limits = { maxOldGenerationSizeMb: 16 };
const ours = import.meta.resolve('./thread.ts');

/** A directory with a worker that answers questions, and a module beside it that could start it. */
async function echo() {
  const directory = await temporaryDirectory();
  writeFileSync(
    join(directory.path, 'echo-worker.ts'),
    `import { readFileSync } from 'node:fs';
    import { answerQuestions } from ${JSON.stringify(ours)};
    import { ArtifactError } from ${JSON.stringify(import.meta.resolve('./error.ts'))};
    answerQuestions(question => {
      if (question === 'refuse') throw new ArtifactError('unmountable', 'no');
      if (question === 'fail') return readFileSync('/absent');
      if (question === 'text') throw 'text';
      if (question === 'late') return new Promise(resolve => setTimeout(resolve, 50, question));
      if (question === 'exit') process.exit(3);
      if (question === 'eat') { const all = []; for (;;) all.push(new Array(1e5).fill(0)); }
      return question;
    });`,
  );
  const beside = pathToFileURL(join(directory.path, 'us.ts')).href;
  return {
    directory,
    beside,
    start: () => startThread<string, string>(beside, 'echo-worker', { resourceLimits: limits }),
  };
}

test('each question gets its answer, and errors arrive unchanged', async () => {
  const { directory, start } = await echo();
  await using _ = directory;
  await using thread = start();
  const answers = await Promise.allSettled(['a', 'refuse', 'b', 'fail', 'text', 'c'].map(thread.ask));
  assert.deepEqual(
    answers.map(answer => (answer.status === 'fulfilled' ? answer.value : answer.reason.message)),
    ['a', 'no', 'b', "ENOENT: no such file or directory, open '/absent'", 'text', 'c'],
  );
  const reasons = answers.map(answer => (answer.status === 'rejected' ? answer.reason : undefined));
  assert.ok(reasons[1] instanceof ArtifactError && reasons[1].code === 'unmountable');
  assert.equal(reasons[3].code, 'ENOENT');
});

test('a slow question blocks no other', async () => {
  const { directory, start } = await echo();
  await using _ = directory;
  await using thread = start();
  const answered: string[] = [];
  const note = async (question: string): Promise<void> => void answered.push(await thread.ask(question));
  await Promise.all(['late', 'a', 'b'].map(note));
  assert.deepEqual(answered, ['a', 'b', 'late']);
});

test('a thread that ends fails its open and later questions', async () => {
  const { directory, start } = await echo();
  await using _ = directory;
  for (const [question, why] of [
    ['exit', /the thread echo-worker has ended/],
    ['eat', { code: 'ERR_WORKER_OUT_OF_MEMORY' }],
  ] as const) {
    await using thread = start();
    const asked = [thread.ask(question), thread.ask('a')];
    for (const answer of asked) await assert.rejects(answer, why);
    await assert.rejects(thread.ask('b'), why);
  }
  const disposed = start();
  const asked = disposed.ask('a');
  const ended = assert.rejects(asked, /has ended/);
  await disposed[Symbol.asyncDispose]();
  await ended;
});

test('a thread may ask its parent, which answers or throws', async () => {
  await using directory = await temporaryDirectory();
  writeFileSync(
    join(directory.path, 'asking-worker.ts'),
    `import { answerQuestions } from ${JSON.stringify(ours)};
    answerQuestions(async (question, { call }) => \`\${question} \${await call(question)}\`);`,
  );
  const beside = pathToFileURL(join(directory.path, 'us.ts')).href;
  const answer = (question: string): string => {
    if (question === 'refuse') throw new ArtifactError('exhausted', 'no room');
    return `${question}!`;
  };
  await using thread = startThread<string, string>(beside, 'asking-worker', { answer });
  assert.equal(await thread.ask('a'), 'a a!');
  await assert.rejects(thread.ask('refuse'), { code: 'exhausted', message: 'no room' });
  await using deaf = startThread<string, string>(beside, 'asking-worker');
  await assert.rejects(deaf.ask('a'), /answers nothing/);
});

test('a thread that is disposed while it loads native code ends when it has loaded it', async () => {
  await using directory = await temporaryDirectory();
  const loading = join(directory.path, 'loading');
  writeFileSync(
    join(directory.path, 'native-worker.ts'),
    `import { writeFileSync } from 'node:fs';
    import { createRequire } from 'node:module';
    import { answerQuestions } from ${JSON.stringify(ours)};
    writeFileSync(${JSON.stringify(loading)}, '');
    createRequire(${JSON.stringify(import.meta.url)})('koffi').load(null);
    answerQuestions(() => 'loaded');`,
  );
  const program = join(directory.path, 'program.ts');
  writeFileSync(
    program,
    `import { existsSync, rmSync } from 'node:fs';
    import { setImmediate } from 'node:timers/promises';
    import { startThread } from ${JSON.stringify(ours)};
    const beside = ${JSON.stringify(pathToFileURL(join(directory.path, 'us.ts')).href)};
    for (let nth = 0; nth < 16; nth++) {
      const thread = startThread(beside, 'native-worker');
      while (!existsSync(${JSON.stringify(loading)})) await setImmediate();
      const until = performance.now() + nth / 2;
      while (performance.now() < until);
      await thread[Symbol.asyncDispose]();
      rmSync(${JSON.stringify(loading)});
    }
    console.log('alive');`,
  );
  const output = execFileSync(process.execPath, [program], { encoding: 'utf8', timeout: 60_000 });
  assert.equal(output, 'alive\n');
});

test('a thread keeps the process alive while it has an open question, and no longer', async () => {
  const { directory, beside } = await echo();
  await using _ = directory;
  const program = join(directory.path, 'program.ts');
  writeFileSync(
    program,
    `import { startThread } from ${JSON.stringify(ours)};
    const thread = startThread(${JSON.stringify(beside)}, 'echo-worker', {});
    thread.ask('answered').then(console.log);`,
  );
  const output = execFileSync(process.execPath, [program], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  assert.equal(output, 'answered\n');
});
