// @ts-check
// The numbers of the fields of the pages that write; a mistake is said in the words of the page.
/** What a person reads beside a field. @param {HTMLInputElement} field */
const labelOf = (field) => (field.labels?.[0].textContent || field.id).trim();

/** The number of a field, if it is in its limits. @param {HTMLInputElement} field @param {number} otherwise */
function numberOf(field, otherwise) {
  if (!field.checkValidity()) throw new Error(`${labelOf(field)}: ${field.validationMessage}`);
  return field.value === "" ? otherwise : Number(field.value);
}

/** A share of more than 0. @param {HTMLInputElement} field */
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
