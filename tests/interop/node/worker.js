// A worker of celery-node, with two of the tasks in shop.py.
const celery = require("celery-node");

const worker = celery.createWorker(process.env.INTEROP_BROKER, process.env.INTEROP_RESULTS);
worker.register("shop.add", (x, y) => x + y);
worker.register("shop.by", () => "celery-node");
worker.register("shop.fail", () => {
  throw new Error("out of paper");
});
worker.start();
worker.isReady().then(() => console.log("ready."));
