from tests.integration.node import Node, wait_for
from contract.modes import Mode


def test_a_node_goes_to_cloud_and_back(node: Node) -> None:
    node.bu_run(100, 3)
    node.cgi("start", "?run=100")
    wait_for("a job", node.jobs)
    node.cgi("exclude")
    node.wait_mode(Mode.ACTIVATING_CLOUD)
    for n in (4, 5, 6): node.close_lumisection(100, n)
    node.wait_mode(Mode.CLOUD)
    node.cgi("include")
    node.wait_mode(Mode.HLT)
    wait_for("a job", node.jobs)
    print(node.log)
    print(node.status())
