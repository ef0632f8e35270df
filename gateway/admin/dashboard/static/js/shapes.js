// Shapes of charts: paths through points, each of them `[from, to]`, and round numbers beside an axis.

export const isKnown = (point) => point?.[1] !== null && point?.[1] !== undefined;

// Where nothing is known on either side there is no line to see.
export const alone = (points) =>
  points
    .map((_, at) => at)
    .filter((at) => isKnown(points[at]) && !isKnown(points[at - 1]) && !isKnown(points[at + 1]));

export function linePath(points, x, y) {
  let path = "";
  let isDown = false;
  points.forEach(([, value], n) => {
    if (value === null || value === undefined) {
      isDown = false;
      return;
    }
    path += `${isDown ? "L" : "M"}${x(n).toFixed(1)} ${y(value).toFixed(1)}`;
    isDown = true;
  });
  return path;
}

export function areaPath(points, x, y) {
  const known = points
    .map(([low, high], n) => [n, low, high])
    .filter(([, , high]) => high !== null && high !== undefined);
  if (!known.length) return "";
  const above = known.map(([n, , high]) => `${x(n).toFixed(1)} ${y(high).toFixed(1)}`);
  const below = known.map(([n, low]) => `${x(n).toFixed(1)} ${y(low).toFixed(1)}`).reverse();
  return `M${[...above, ...below].join("L")}Z`;
}

// Two to five round numbers from 0 to at least `most`; of what `isCounted` there are no halves.
export function niceTicks(most, isCounted = false) {
  if (!(most > 0)) return [0, 1];
  const rough = Math.max(most / 3, isCounted ? 1 : 0);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10]
    .map((each) => each * power)
    .find((each) => each >= rough && (!isCounted || Number.isInteger(each)));
  const ticks = [0];
  while (ticks.at(-1) < most) ticks.push(Number((ticks.at(-1) + step).toPrecision(12)));
  return ticks;
}
