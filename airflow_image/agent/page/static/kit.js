// Airflow offers plugins its own React and Chakra UI as globals.
export const { React, ChakraUI } = globalThis;

export const h = React.createElement;

// An error in a plugin's component would replace Airflow's whole page.
export class Guard extends React.Component {
  constructor(props) {
    super(props);
    this.state = { failed: false };
  }

  static getDerivedStateFromError() {
    return { failed: true };
  }

  render() {
    return this.state.failed ? this.props.instead : this.props.children;
  }
}
