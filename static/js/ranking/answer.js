// What the annotator has said so far about one item. Knows no page and no network.

import { dense, groups } from "./order.js";

// A strength belongs to two neighbouring groups: if either changes, it no longer says anything.
const link = (above, below) => `${above.join()}|${below.join()}`;

export class Answer {
  constructor(item, given) {
    this.keys = item.keys;
    this.dimensions = item.dimensions;
    this.revises = item.revises;
    this.flags = new Set((given.flags ?? []).map((flag) => `${flag.flag}:${flag.response ?? ""}`));
    this.rationale = given.rationale ?? "";
    this.seconds = given.seconds_active ?? 0;
    this.step = item.dimensions.find((d) => d.key === given.step)?.key ?? item.dimensions[0].key;
    this.ranks = {};
    this.strengths = {};
    this.allBad = new Set(given.all_bad ?? []);
    for (const { key } of item.dimensions) {
      this.ranks[key] = { ...given.rankings?.[key] };
      this.strengths[key] = this.#links(key, given.strengths?.[key] ?? {});
    }
  }

  #links(dimension, strengths) {
    const list = groups(this.ranks[dimension]);
    const known = list.slice(0, -1).map((group, i) => [link(group, list[i + 1]), strengths[group[0]]]);
    return Object.fromEntries(known.filter(([, strength]) => strength));
  }

  get current() { return this.ranks[this.step]; }
  set current(ranks) { this.ranks[this.step] = ranks; }

  unplaced(dimension = this.step) { return this.keys.filter((key) => !(key in this.ranks[dimension])); }

  isComplete(dimension = this.step) {
    return this.allBad.has(dimension) || Object.keys(this.ranks[dimension]).length >= 2;
  }

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

  toggleAllBad() {
    if (!this.allBad.delete(this.step)) this.allBad.add(this.step);
    return this.allBad.has(this.step);
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
    const each = (make) => Object.fromEntries(this.dimensions.map(({ key }) => [key, make(key)]));
    return {
      rankings: each((key) => (final ? dense(this.ranks[key]) : this.ranks[key])),
      strengths: each((key) => this.#strengths(key)),
      all_bad: [...this.allBad],
      flags: [...this.flags].map((value) => {
        const [flag, response] = value.split(":");
        return response ? { flag, response } : { flag };
      }),
      rationale: this.rationale,
      seconds_active: Math.round(this.seconds * 10) / 10,
      ...(final ? {} : { step: this.step, revises: this.revises }),
    };
  }
}
