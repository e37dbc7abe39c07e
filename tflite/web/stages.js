// Runs the stages of a .tflite that kd.lite.join_stages has made: the IF, in JavaScript, for accelerators that have none.

/**
 * Runs a stage after the other until one says that the image stops.
 * @param model what LiteRT.js's loadAndCompile returned of the file, with float32 ends (kd.lite.float_io).
 * @param metadata the file's: stages, stage_macs and stops_at.
 * @param given {image: Tensor, thresholds: Tensor, if the file takes them}; they stay the caller's.
 * @return {logits: Float32Array, exit: of the exit, or the cascade's network, at which it stopped, macs: run for it}
 */
export async function runStages(model, metadata, given) {
  const values = {...given};
  const made = [];
  let macs = 0;
  try {
    for (const [number, key] of metadata.stages.entries()) {
      const inputs = {};
      for (const {name} of model.signatures[key].getInputDetails()) inputs[name] = values[name];
      const outputs = await model.run(key, inputs);
      made.push(...Object.values(outputs));
      macs += metadata.stage_macs[number];
      if (!outputs.go_on || !(await outputs.go_on.data())[0]) {
        return {logits: (await outputs.logits.data()).slice(), exit: metadata.stops_at[number], macs};
      }
      Object.assign(values, outputs);
    }
  } finally {
    made.forEach((tensor) => tensor.delete());
  }
}
