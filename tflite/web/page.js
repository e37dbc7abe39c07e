// Classifies images with a dynamic network and with its static one, and shows the path and the time of each.
import {loadLiteRt, loadAndCompile, Tensor} from './litert/core/index.js';
import {runStages} from './stages.js';

const REPEATS = 5; // times that each model is measured on an image, of which the median is told
const LEAST = 5; // milliseconds of a measurement: browsers' clocks are coarse
const byId = (id) => document.getElementById(id);
const say = (text, failed = false) => {
  byId('summary').textContent = text;
  byId('summary').classList.toggle('error', failed);
};
const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

let site; // what config.json says
let models; // {dynamic, static}
let runs = 1; // of a model in a measurement
let shown = []; // {pixels, canvas, caption, result} of each image
let working = Promise.resolve(); // what is asked for runs after each other

/** Returns {output: array} of a model, and the milliseconds that a run took. */
async function run(name, pixels, thresholds) {
  const feed = {image: [pixels, [1, ...site.size]], thresholds: [thresholds, [thresholds.length]]};
  const inputs = site[name].inputs.map((input) => new Tensor(...feed[input]));
  const named = Object.fromEntries(inputs.map((tensor, place) => [site[name].inputs[place], tensor]));
  let found = {};
  const start = performance.now();
  for (let number = 0; number < runs; number++) {
    if (name === 'dynamic' && site.stages) {
      found = await runStages(models.dynamic, site.stages, named);
      continue;
    }
    const outputs = await models[name].run(inputs);
    outputs.forEach((tensor, place) => {
      found[site[name].outputs[place]] = tensor.toTypedArray().slice();
      tensor.delete();
    });
  }
  const milliseconds = (performance.now() - start) / runs;
  inputs.forEach((tensor) => tensor.delete());
  if ('exit' in found) {
    found.decisions = site.decisions.map((_, place) => Number(place < found.exit));
    found.macs = [found.macs / site.macs_unit];
  }
  return [found, milliseconds];
}

/** Returns the place of the budget in force. */
const place = () => (site.budgets.length > 1 ? byId('slider').value : 0);

/** Returns class, path, MACs and times of an image: the models take turns, so that both meet the same machine. */
async function classify(pixels) {
  const thresholds = Float32Array.from(site.budgets.length ? site.budgets[place()].thresholds : []);
  const times = {dynamic: [], static: []};
  let found;
  for (let repeat = 0; repeat < REPEATS; repeat++) {
    for (const name of ['dynamic', 'static']) {
      const [outputs, milliseconds] = await run(name, pixels, thresholds);
      times[name].push(milliseconds);
      if (name === 'dynamic') found = outputs;
    }
  }
  const one = found.logits.length === 1; // a single logit tells two classes apart
  const label = one ? Number(found.logits[0] > 0) : found.logits.indexOf(Math.max(...found.logits));
  return {
    label,
    logits: [...found.logits],
    decisions: [...(found.decisions ?? [])],
    macs: found.macs ? found.macs[0] * site.macs_unit : null,
    dynamic: median(times.dynamic),
    static: median(times.static),
  };
}

/** Returns the pixels that the model takes of what a canvas shows. */
function pixelsOf(canvas) {
  const [height, width, channels] = site.size;
  const bytes = canvas.getContext('2d', {willReadFrequently: true}).getImageData(0, 0, width, height).data;
  const pixels = new Float32Array(height * width * channels);
  for (let place = 0; place < height * width; place++) {
    const colours = [bytes[4 * place], bytes[4 * place + 1], bytes[4 * place + 2]];
    const grey = 0.299 * colours[0] + 0.587 * colours[1] + 0.114 * colours[2];
    for (let channel = 0; channel < channels; channel++) {
      const value = channels === 1 ? grey : colours[channel];
      const at = (values) => values[values.length > 1 ? channel : 0];
      pixels[channels * place + channel] = (value - at(site.mean)) / at(site.std);
    }
  }
  return pixels;
}

/** Writes what was found beneath an image. */
function describe(each) {
  const {label, decisions, macs, dynamic} = each.result;
  const text = (tag, content) => Object.assign(document.createElement(tag), {textContent: content});
  const path = Object.assign(document.createElement('div'), {className: 'path'});
  decisions.forEach((ran, place) => {
    const square = document.createElement('span');
    square.className = ran ? 'run' : '';
    square.title = `${site.decisions[place]}: ${ran ? 'run' : 'skipped'}`;
    path.append(square);
  });
  const share = each.result.static ? dynamic / each.result.static : 1;
  const bar = Object.assign(document.createElement('div'), {className: 'bar'});
  const filled = document.createElement('i');
  filled.style.width = `${Math.min(100, 100 * share)}%`;
  bar.append(filled);
  const work = macs === null ? '' : `, ${(macs / 1e6).toFixed(1)} M MACs`;
  const times = `${dynamic.toFixed(2)} ms, ${Math.round(100 * share)} % of the static network's time${work}`;
  each.caption.replaceChildren(text('strong', site.labels[label] ?? `class ${label}`), path, text('div', times), bar);
}

/** Says the means over all images. */
function summarize() {
  const done = shown.filter((each) => each.result).map((each) => each.result);
  if (!done.length) return say('Choose images, or drop them here.');
  const time = mean(done.map((each) => each.dynamic)) / mean(done.map((each) => each.static));
  const macs = done[0].macs === null ? '' : ` and ${Math.round((100 * mean(done.map((each) => each.macs))) / site.static.macs)} % of its MACs`;
  say(`${done.length} ${done.length > 1 ? 'images' : 'image'}: ${Math.round(100 * time)} % of the static network's time${macs}.`);
}

/** Adds an image, anything that a canvas draws, resized to the model's shape. */
function add(source) {
  const [high, wide] = site.size;
  const canvas = Object.assign(document.createElement('canvas'), {width: wide, height: high});
  canvas.getContext('2d', {willReadFrequently: true}).drawImage(source, 0, 0, wide, high);
  const figure = document.createElement('figure');
  const caption = document.createElement('figcaption');
  figure.append(canvas, caption);
  byId('images').prepend(figure);
  const each = {canvas, caption, pixels: pixelsOf(canvas)};
  shown.push(each);
  return each;
}

async function judge(each) {
  each.result = await classify(each.pixels);
  describe(each);
}

async function addFiles(files) {
  for (const file of files) {
    try {
      const bitmap = await createImageBitmap(file);
      await judge(add(bitmap));
    } catch (error) {
      return say(`${file.name} cannot be read as an image (${error.message}).`, true);
    }
  }
  summarize();
}

/** Runs jobs after each other, and says what went wrong. */
function then(job) {
  working = working.then(job).catch((error) => {
    say(`It failed: ${error.message ?? error}`, true);
    return report({error: String(error.message ?? error)});
  });
  return working;
}

/** Shows the camera's picture and classifies it until the button is pressed again. */
async function useCamera() {
  const video = byId('video');
  if (video.srcObject) {
    video.srcObject.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
    video.hidden = true;
    byId('camera').textContent = 'Use the camera';
    return;
  }
  video.srcObject = await navigator.mediaDevices.getUserMedia({video: true});
  video.hidden = false;
  byId('camera').textContent = 'Stop the camera';
  await video.play();
  const each = add(video);
  const step = async () => {
    if (!video.srcObject) return;
    const [high, wide] = site.size;
    each.canvas.getContext('2d').drawImage(video, 0, 0, wide, high);
    each.pixels = pixelsOf(each.canvas);
    await judge(each);
    summarize();
    setTimeout(() => then(step), 100);
  };
  await step();
}

function chooseBudget() {
  const budget = site.budgets[byId('slider').value];
  byId('chosen').textContent = `${(budget.macs / 1e6).toFixed(1)} M MACs on average`;
}

async function start() {
  site = await (await fetch('config.json')).json();
  await loadLiteRt('./litert/wasm/', {threads: false});
  models = {};
  for (const name of ['dynamic', 'static']) {
    models[name] = await loadAndCompile(`${name}.tflite`, {accelerator: 'wasm'});
  }
  if (site.budgets.length > 1) {
    byId('slider').max = site.budgets.length - 1;
    byId('slider').value = site.budget;
    byId('budget').hidden = false;
    chooseBudget();
  }
  const grey = new Float32Array(site.size.reduce((product, size) => product * size, 1));
  await classify(grey);
  runs = Math.min(100, Math.ceil(LEAST / Math.max(0.05, (await classify(grey)).static)));
  for (const name of site.samples) {
    const bitmap = await createImageBitmap(await (await fetch(`samples/${name}`)).blob());
    await judge(add(bitmap));
  }
  summarize();
  await report({images: shown.map((each) => each.result)});
}

/** Sends what was found to web_demo.py --measure, which asks for it. */
async function report(found) {
  if (new URLSearchParams(location.search).has('report')) {
    await fetch('report', {method: 'POST', body: JSON.stringify(found)});
  }
}

byId('files').addEventListener('change', (event) => then(() => addFiles([...event.target.files])));
byId('camera').addEventListener('click', () => then(useCamera));
byId('slider').addEventListener('input', chooseBudget);
byId('slider').addEventListener('change', () => then(async () => {
  for (const each of shown) await judge(each);
  summarize();
}));
document.addEventListener('dragover', (event) => event.preventDefault());
document.addEventListener('drop', (event) => {
  event.preventDefault();
  then(() => addFiles([...event.dataTransfer.files]));
});
then(start);
