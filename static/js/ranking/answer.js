// What the annotator has said so far about one item. Knows no page and no network.

import { dense, groups } from "./order.js";

// A strength belongs to two neighbouring groups: if either changes, it no longer says anything.
const link = (above, below) => `${above.join()}|${below.join()}`;

export class Answer {
  constructor(item, given) {
    this.item = item;
    this.keys = item.keys;
    this.dimensions = item.dimensions;
    this.flags = new Set((given.flags ?? []).map((flag) => `${flag.flag}:${flag.response ?? ""}`));
    this.rationale = item.rationale === "off" ? "" : given.rationale ?? "";
    this.edit = item.edit ? given.edit ?? null : null;
    this.seconds = given.seconds_active ?? 0;
    this.step = item.dimensions.find((d) => d.key === given.step)?.key ?? item.dimensions[0].key;
    this.allBad = new Set(given.all_bad ?? []);
    this.ranks = {};
    this.strengths = {};
    this.ratings = {};
    for (const { key } of item.dimensions) {
      this.ranks[key] = { ...given.rankings?.[key] };
      this.strengths[key] = item.strength ? this.#links(key, given.strengths?.[key] ?? {}) : {};
    }
    const rated = [...item.attributes, ...(item.task === "rating" ? item.dimensions : [])];
    for (const { key } of rated) this.ratings[key] = { ...given.ratings?.[key] };
  }

  #links(dimension, strengths) {
    const list = groups(this.ranks[dimension]);
    const known = list.slice(0, -1).map((group, i) => [link(group, list[i + 1]), strengths[group[0]]]);
    return Object.fromEntries(known.filter(([, strength]) => strength));
  }

  // what is placed, chosen or rated: ranks of the current dimension, or its points

  get current() { return this.ranks[this.step]; }
  set current(ranks) { this.ranks[this.step] = ranks; }

  unplaced(dimension = this.step) {
    const said = (this.item.task === "rating" ? this.ratings : this.ranks)[dimension];
    return this.keys.filter((key) => !(key in said));
  }

  isComplete(dimension = this.step) {
    const bad = this.allBad.has(dimension);
    const left = this.unplaced(dimension).length;
    switch (this.item.task) {
      case "pairwise": return bad || left === 0;
      case "best": return bad || this.best(dimension) !== undefined;
      case "rating": return left === 0 || (bad && left === this.keys.length);
      default: return bad || this.keys.length - left >= 2;
    }
  }

  best(dimension = this.step) {
    const first = this.keys.filter((key) => this.ranks[dimension][key] === 1);
    return first.length === 1 ? first[0] : undefined;
  }

  toggleAllBad() {
    if (!this.allBad.delete(this.step)) this.allBad.add(this.step);
    return this.allBad.has(this.step);
  }

  // One better, a tie, or both bad: "A", "B", "tie", "bad"; undefined as long as nothing is said.
  verdict(dimension = this.step) {
    if (this.allBad.has(dimension)) return "bad";
    if (this.unplaced(dimension).length) return undefined;
    return this.best(dimension) ?? "tie";
  }

  setVerdict(verdict, strength = 0) {
    this.allBad.delete(this.step);
    this.strengths[this.step] = {};
    if (verdict === undefined) this.current = {};
    else this.current = Object.fromEntries(this.keys.map((key) => [key, [key, "tie", "bad"].includes(verdict) ? 1 : 2]));
    if (verdict === "bad") this.allBad.add(this.step);
    if (strength && this.keys.includes(verdict)) this.setStrengthBelow(1, strength);
  }

  pick(key) {
    this.allBad.delete(this.step);
    this.current = key === undefined ? {} : { [key]: 1 };
  }

  rate(scale, key, points) {
    if (points === undefined) delete this.ratings[scale][key];
    else this.ratings[scale][key] = points;
  }

  // strengths

  // The group that holds `rank` and the one below it, or null if either is missing.
  neighbours(rank) {
    const list = groups(this.current);
    const at = list.findIndex((group) => this.current[group[0]] === rank);
    return at >= 0 && at + 1 < list.length ? [list[at], list[at + 1]] : null;
  }

  strengthBelow(rank) {
    const pair = this.neighbours(rank);
    return pair ? this.strengths[this.step][link(...pair)] ?? 0 : 0;
  }

  setStrengthBelow(rank, strength) {
    const pair = this.neighbours(rank);
    if (pair) this.strengths[this.step][link(...pair)] = Math.max(0, Math.min(3, strength));
  }

  #strengths(dimension) {
    const list = groups(this.ranks[dimension]);
    const said = {};
    list.slice(0, -1).forEach((group, i) => {
      const strength = this.strengths[dimension][link(group, list[i + 1])];
      if (strength) for (const key of group) said[key] = strength;
    });
    return said;
  }

  // For a draft as it stands; for a submission with gaps between ranks closed.
  json({ final = false } = {}) {
    const { task } = this.item;
    const each = (make) => Object.fromEntries(this.dimensions.map(({ key }) => [key, make(key)]));
    return {
      rankings: task === "rating" ? {} : each((key) => (final ? dense(this.ranks[key]) : this.ranks[key])),
      strengths: this.item.strength ? each((key) => this.#strengths(key)) : {},
      ratings: this.ratings,
      all_bad: [...this.allBad],
      flags: [...this.flags].map((value) => {
        const [flag, response] = value.split(":");
        return response ? { flag, response } : { flag };
      }),
      rationale: this.rationale,
      edit: this.edit,
      seconds_active: Math.round(this.seconds * 10) / 10,
      revises: this.item.revises,
      ...(final ? { guidelines: this.item.guidelines } : { step: this.step }),
    };
  }
}
