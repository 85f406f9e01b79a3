/**
 * A FlatBuffer: tables that point to each other. Every read goes through a DataView, which throws a
 * RangeError outside of the file.
 */
export class Table {
  /** @param {DataView} view @param {number} position of the table in the file */
  constructor(view, position) {
    this.view = view;
    this.position = position;
    this.vtable = position - view.getInt32(position, true);
    this.vtableBytes = view.getUint16(this.vtable, true);
  }

  /** @returns {number} where the field lies, or 0 where the file leaves it out */
  at(field) {
    const entry = 4 + 2 * field;
    if (entry >= this.vtableBytes) return 0;
    const offset = this.view.getUint16(this.vtable + entry, true);
    return offset && this.position + offset;
  }

  /** @returns {number} what stands in the field; `kind` is "Int8", "Int32", "Float32" and so on */
  number(field, kind, otherwise = 0) {
    const at = this.at(field);
    return at ? this.view[`get${kind}`](at, true) : otherwise;
  }

  /** @returns {Table | null} the table that the field points to */
  table(field) {
    const at = this.at(field);
    return at ? new Table(this.view, at + this.view.getUint32(at, true)) : null;
  }

  /** @returns {number[]} where each element of the field's vector lies; `bytes` is one's size */
  elements(field, bytes) {
    const { start, length } = this.vector(field, bytes);
    return Array.from({ length }, (_, i) => start + i * bytes);
  }

  /** @returns {{start: number, length: number}} of the field's vector, both 0 where it has none */
  vector(field, bytes) {
    const at = this.at(field);
    if (!at) return { start: 0, length: 0 };
    const start = at + this.view.getUint32(at, true);
    const length = this.view.getUint32(start, true);
    if (start + 4 + length * bytes > this.view.byteLength) throw new RangeError("vector too long");
    return { start: start + 4, length };
  }

  /** @returns {Uint8Array} a vector of bytes, as a copy */
  bytes(field) {
    const { start, length } = this.vector(field, 1);
    const { buffer, byteOffset } = this.view;
    return new Uint8Array(buffer, byteOffset + start, length).slice();
  }

  /** @returns {string} */
  text(field) {
    return new TextDecoder().decode(this.bytes(field));
  }

  /** @returns {number[]} a vector of int32 */
  integers(field) {
    return this.elements(field, 4).map((at) => this.view.getInt32(at, true));
  }

  /** @returns {Table[]} a vector of tables */
  tables(field) {
    return this.elements(field, 4).map(
      (at) => new Table(this.view, at + this.view.getUint32(at, true)),
    );
  }
}
