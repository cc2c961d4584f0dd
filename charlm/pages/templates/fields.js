// @ts-check
// Read the numbers in the fields of a page; an error names a field by its label.
/** The label of a field. @param {HTMLInputElement} field */
const labelOf = (field) => (field.labels?.[0].textContent || field.id).trim();

/** The number in a field; throws an error if it is outside the field's limits. @param {HTMLInputElement} field @param {number} otherwise */
function numberOf(field, otherwise) {
  if (!field.checkValidity()) throw new Error(`${labelOf(field)}: ${field.validationMessage}`);
  return field.value === "" ? otherwise : Number(field.value);
}

/** The number in a field for a share, which must be more than 0. @param {HTMLInputElement} field */
function shareOf(field) {
  const share = numberOf(field, 1);
  if (!share) throw new Error(`${labelOf(field)}: more than 0, at most 1`);
  return share;
}

/** Say which characters a model has not read. @param {string[]} characters */
function unreadNote(characters) {
  if (!characters.length) return "";
  return `; not read, because the model does not know them: ${characters.slice(0, 6).join(" ")}${characters.length > 6 ? " …" : ""}`;
}
