// A program of celery-node: reads one call a line as JSON, and writes the id, or what became of a call.
const readline = require("readline");
const celery = require("celery-node");

const client = celery.createClient(process.env.INTEROP_BROKER, process.env.INTEROP_RESULTS);

async function answer({ task, args, kwargs, id, protocol, await: awaited }) {
  client.conf.TASK_PROTOCOL = protocol || 2;
  if (task) return client.sendTask(task, args || [], kwargs || {}, id).taskId;
  try {
    return { value: await client.asyncResult(awaited).get(20000) };
  } catch (error) {
    return { error: { ...error, message: error.message } };
  }
}

readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  console.log(JSON.stringify(await answer(JSON.parse(line))));
});
