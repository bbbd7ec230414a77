"use strict";
{
  const { document: plots, places } = JSON.parse(document.getElementById("plots").textContent);
  const items = [{ docid: "page", roots: places, root_ids: Object.keys(places) }];
  Bokeh.embed.embed_items({ page: plots }, items).catch((error) => {
    document.body.classList.add("undrawn");
    console.error(error);
  });
}
