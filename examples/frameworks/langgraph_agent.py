"""LangGraph: the tool node is guarded; a model that follows a script stands in for a real one."""

from __future__ import annotations

import shop
from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

import flyball_sdk
from flyball_sdk.adapters.langgraph import guard


def model(state: MessagesState) -> MessagesState:
    """Call the script's next tool; stop after the last."""
    at = sum(isinstance(one, AIMessage) for one in state["messages"])
    if at == len(shop.SCRIPT):
        return {"messages": [AIMessage("done")]}
    name, args = shop.SCRIPT[at]
    return {"messages": [AIMessage("", tool_calls=[{"name": name, "args": args, "id": f"call-{at}"}])]}


with flyball_sdk.task("support", inputs={"order": "O-1042"}) as task:
    tools = ToolNode([shop.look_up, shop.refund], **guard(task))

    graph = StateGraph(MessagesState)
    graph.add_node("model", model)
    graph.add_node("tools", tools)
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", lambda state: "tools" if state["messages"][-1].tool_calls else END)
    graph.add_edge("tools", "model")
    final = graph.compile().invoke({"messages": [("user", "Where is my order, and my money?")]})

for message in final["messages"]:
    if message.type == "tool":
        shop.show(message.content)
shop.done()
