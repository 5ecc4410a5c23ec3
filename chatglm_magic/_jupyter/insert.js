/** Puts a reply's code into a cell below the one that asked, or into the cell that it was put into before. */

export default {
  initialize({ model }) {
    const notebook = model.widget_manager?.context?.model?.sharedModel;
    if (typeof notebook?.insertCell !== "function" || !Array.isArray(notebook.cells)) return; // another front end
    model.on("msg:custom", ({ asker, code, before }) => {
      const at = notebook.cells.findIndex(({ id }) => id === asker);
      if (at < 0) return; // it stands in another notebook of this kernel
      const own = notebook.cells.find((cell, place) => {
        const mark = cell.getMetadata("chatglm_magic");
        const source = mark?.asker === asker ? mark.source : place === at + 1 ? before : undefined;
        return cell.cell_type === "code" && source && cell.getSource() === source; // not one that a person has changed
      });
      const mark = { asker, source: code };
      if (own) {
        own.setSource(code);
        own.setMetadata("chatglm_magic", mark);
        return;
      }
      const metadata = { trusted: false, chatglm_magic: mark };
      notebook.insertCell(at + 1, { cell_type: "code", source: code, metadata });
    });
    model.send({ ready: true });
  },
};
